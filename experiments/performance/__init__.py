"""Time: predicted and measured latency, load and throughput, and how far the one can be trusted about the other."""
