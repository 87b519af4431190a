"""One module a phantom; `unimri.data.simulate.settings.PHANTOMS` names them."""
