"""One page for a finished experiment. It reads artifacts alone, and knows nothing of networks."""
