package cloudflare

import (
	"context"
	"errors"
	"strings"

	"github.com/neosofia/runner/runtime/failure"
)

// Explain words an error of this client for the operator: what was done with which system,
// what it said, and what to do. What is worded already stays as it is.
func Explain(system, doing string, err error) error {
	var own *failure.Error
	var e *Error
	if err == nil || errors.As(err, &own) || errors.Is(err, context.Canceled) || !errors.As(err, &e) {
		return err
	}
	out := &failure.Error{Code: CodeAnswer, System: strings.TrimSpace("cloudflare " + system), Doing: doing, Said: e.Error(), Cause: err}
	switch e.Kind {
	case Auth:
		out.Code = CodeAuth
		out.Hint = "dash.cloudflare.com > Manage Account > API Tokens shows whether the token is active; runner secret set NAME stores " +
			"another one"
	case Forbidden:
		out.Code = CodeForbidden
		out.Hint = "the token needs, to read: Zone, DNS, Zone Settings, Zone WAF, Page Rules of the zones; Account Rulesets, Account Filter " +
			"Lists, Cloudflare Tunnel of the account"
	case NotFound:
		out.Code = CodeNoZone
		out.Hint = "the token must include the zone (Zone Resources); with zones of one name in several accounts, name account = \"id\" in " +
			"cloudflare(...)"
	case Limited:
		out.Code, out.Temporary = CodeLimited, true
		out.Hint = "1200 requests in 5 minutes are allowed, over all programs that use this token and the dashboard: give runner a token of " +
			"an account of its own"
	case Down:
		out.Code, out.Temporary = CodeDown, true
		out.Hint = "is the way to the internet open from here, and what does www.cloudflarestatus.com say?"
	case Changing:
		out.Code, out.Temporary = CodeChanging, true
		out.Hint = "somebody or something edits it just now (audit log of the account): try again when it rests"
	case Cert:
		out.Code = CodeCert
		out.Hint = "a proxy that opens TLS in between? compare the certificate from another network"
	}
	return out
}
