"""The forecast held to what came: merchants of several shapes, and real traffic, by `make backtest`."""
