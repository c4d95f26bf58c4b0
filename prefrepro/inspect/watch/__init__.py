"""prefrepro watch: the progress of a table's jobs, read from results/, whichever process runs them."""
