"""prefrepro watch: how far the jobs of a table are, seen from what they leave in results/, whoever runs them."""
