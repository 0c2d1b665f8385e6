package cloudflare

import "github.com/neosofia/runner/runtime/failure"

// Codes of failures.
var (
	CodeAuth      = failure.Code{Name: "E_CF_AUTH", Doc: "the API token is wrong, expired or revoked"}
	CodeForbidden = failure.Code{Name: "E_CF_FORBIDDEN", Doc: "the API token lacks a permission; the text names the request"}
	CodeLimited   = failure.Code{Name: "E_CF_LIMITED", Doc: "Cloudflare answers too many requests (429), longer than its block lasts"}
	CodeDown      = failure.Code{Name: "E_CF_DOWN", Doc: "Cloudflare cannot be reached, or answers 5xx; tried again"}
	CodeChanging  = failure.Code{Name: "E_CF_CHANGING", Doc: "what was read changed while it was read, four times in a row"}
	CodeAnswer    = failure.Code{Name: "E_CF_ANSWER", Doc: "an answer cannot be understood, or refuses the request; its words follow"}
	CodeCert      = failure.Code{Name: "E_CF_CERT", Doc: "the certificate is not accepted"}
	CodeNoZone    = failure.Code{Name: "E_NO_ZONE", Doc: "the site has no such zone, or the token does not see it"}
)
