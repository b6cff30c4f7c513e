"""The EKS add-on vpc-cni: how it is asked, what its configuration values say, and how they change.

values.py    configuration values as text: env entries read and changed, all else left as it is
holders.py   who holds what an update would set, and what EKS is to do about it
schema.py    configuration values held against the schema that EKS gives for them
cluster.py   the name of the EKS cluster, as its nodes tell it
client.py    one request to EKS, with its errors in our own words
"""
