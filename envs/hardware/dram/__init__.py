"""DRAM memory controller: which design runs a memory trace fast and with little energy."""
