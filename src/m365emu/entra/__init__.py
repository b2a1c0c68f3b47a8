"""Entra: who may have a token, and which.

A request comes in three shapes. An application asks the token endpoint (`token_endpoint`) and proves itself with a
secret, a certificate or another issuer's assertion (`clients`, `assertions`). A person comes with a browser
(`sign_in`), is checked (`accounts`), agrees to permissions (`conclusion`, `consents`) and leaves an authorization code
or an approved device code behind (`grants`), which the application then redeems. A machine asks for its managed
identity (`managed_identity`). What is handed out in the end is made in one place (`issue`).

Everything that outlives a request is small: codes stand in bounded tables, refresh tokens and the state between two
pages are sealed and travel with the client (`seal`, `refresh_tokens`, `visits`), so they survive a restart. What is
asked for is read in one place (`scopes`), what is refused is worded in one place (`errors`, `user_errors`).

Decisions know nothing of HTTP; `token_routes` and `sign_in_routes` carry requests to them, `authority` builds it all.
"""
