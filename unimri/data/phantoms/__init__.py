"""One module a phantom; `unimri.data.scanner.PHANTOMS` names them."""
