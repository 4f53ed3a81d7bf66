"""The contract: what a run is and what it reports. Knows neither the worker nor the operator."""
