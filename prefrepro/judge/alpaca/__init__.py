"""AlpacaEval by the package alpaca_eval 0.6.6, judged through our own client."""
