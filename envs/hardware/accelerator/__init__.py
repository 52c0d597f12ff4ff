"""DNN accelerator with scratchpads, a shared buffer and DRAM: which sizes run the layers of a network best."""
