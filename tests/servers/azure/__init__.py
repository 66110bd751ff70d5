"""A local Azure: what a deployment meets of Azure Resource Manager, and what becomes of the app.

It behaves, as far as its sources say how: roles are in force some minutes after they are assigned,
a Key Vault reference that did not resolve stays so, a build destroys the package, each write needs
its action. It is no proof of Azure's own behaviour: each part names the source that it follows.
"""
