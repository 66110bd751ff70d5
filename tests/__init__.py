"""The tests, laid out like the layers they test. Nothing here is deployed."""
