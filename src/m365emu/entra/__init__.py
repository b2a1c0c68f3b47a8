"""Entra: who may have a token, and which.

A request comes in three shapes. An application asks the token endpoint (`token_endpoint`) and proves itself with a
secret, a certificate or another issuer's assertion (`clients`, `assertions`). A person comes with a browser
(`sign_in`, `device_login`), is checked (`accounts`), agrees to permissions (`consents`) and leaves an authorization
code or an approved device code behind (`grants`), which the application then redeems. A machine asks for its managed
identity (`managed_identity`).

Everything that outlives a request is small: codes stand in bounded tables, refresh tokens and the state between two
pages are sealed and travel with the client (`seal`), so they survive a restart. What is asked for is read in one
place (`scopes`), what is refused is worded in one place (`errors`). `authority` holds the routes.
"""
