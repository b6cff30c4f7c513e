"""ippolicy-operator: the warm targets of the Amazon VPC CNI, chosen from demand."""

__version__ = "0.1.0"
