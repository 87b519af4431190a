"""One module a phantom, its table of tissues and outlines beside it; `unimri.data.scanner.PHANTOMS` names them."""
