package systems

import (
	"context"
	"errors"

	"github.com/neosofia/runner/builtins/internal/client/cloudflare"
	"github.com/neosofia/runner/builtins/internal/site"
	"github.com/neosofia/runner/runtime"
)

// CloudflareCodes are those that every primitive of Cloudflare can raise.
func CloudflareCodes() []runtime.Code {
	return []runtime.Code{
		{Name: "E_CF_AUTH", Doc: "the API token is wrong, expired or revoked"},
		{Name: "E_CF_FORBIDDEN", Doc: "the API token lacks a permission; the text names the request"},
		{Name: "E_CF_LIMITED", Doc: "Cloudflare answers too many requests (429), longer than its block lasts"},
		{Name: "E_CF_DOWN", Doc: "Cloudflare cannot be reached, or answers 5xx; tried again"},
		{Name: "E_CF_CHANGING", Doc: "what was read changed while it was read, four times in a row"},
		{Name: "E_CF_ANSWER", Doc: "an answer cannot be understood, or refuses the request; its words follow"},
		{Name: "E_CF_CERT", Doc: "the certificate is none that is accepted"},
		{Name: "E_NO_ZONE", Doc: "the site has no such zone, or the token does not see it"},
		{Name: "E_SECRET", Doc: "a secret is not in the keyring, or the keyring is locked"},
	}
}

// Cloudflare returns the client of a system; "" is the only one. All steps of a run
// share it, and with it the limit of requests: a step's session is c.On(its clock).
func (w *Systems) Cloudflare(ctx context.Context, name string) (*cloudflare.Client, *site.Cloudflare, error) {
	sys, err := w.Site.CloudflareNamed(name)
	if err != nil {
		return nil, nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.flares[sys.Name]; ok {
		return c, sys, nil
	}
	token, err := w.Secret(ctx, sys.Token)
	if err != nil {
		return nil, nil, err
	}
	defer clear(token)
	c, err := cloudflare.New(cloudflare.Config{URL: sys.URL, Token: string(trimmed(token)), Fingerprints: sys.Fingerprints, Dial: w.Env.Dial})
	if err != nil {
		return nil, nil, &runtime.Error{Code: "E_CF_AUTH", System: "cloudflare " + sys.Name, Doing: "make a client", Said: err.Error(), Hint: "runner secret set " + sys.Token.Name + " stores the token"}
	}
	w.flares[sys.Name] = c
	return c, sys, nil
}

// CloudflareSession is Cloudflare on the clock of a step.
func (w *Systems) CloudflareSession(ctx context.Context, s *runtime.Step, name string) (*cloudflare.Session, *site.Cloudflare, error) {
	c, sys, err := w.Cloudflare(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	return c.On(cloudflare.Clock{Now: s.Now, Sleep: s.Sleep, Log: s.Log}), sys, nil
}

// CloudflareError words an error of the Cloudflare client for the operator.
func CloudflareError(system, doing string, err error) error {
	var own *runtime.Error
	var e *cloudflare.Error
	if err == nil || errors.As(err, &own) || errors.Is(err, context.Canceled) || !errors.As(err, &e) {
		return err
	}
	out := &runtime.Error{Code: "E_CF_ANSWER", System: "cloudflare " + system, Doing: doing, Said: e.Error(), Cause: err}
	switch e.Kind {
	case cloudflare.Auth:
		out.Code = "E_CF_AUTH"
		out.Hint = "dash.cloudflare.com > Manage Account > API Tokens shows whether the token is active; runner secret set NAME stores another one"
	case cloudflare.Forbidden:
		out.Code = "E_CF_FORBIDDEN"
		out.Hint = "the token needs, to read: Zone, DNS, Zone Settings, Zone WAF, Page Rules of the zones; Account Rulesets, Account Filter Lists, Cloudflare Tunnel of the account"
	case cloudflare.NotFound:
		out.Code = "E_NO_ZONE"
		out.Hint = "the token must include the zone (Zone Resources); with zones of one name in several accounts, name account = \"id\" in cloudflare(...)"
	case cloudflare.Limited:
		out.Code, out.Temporary = "E_CF_LIMITED", true
		out.Hint = "1200 requests in 5 minutes are allowed, over all programs that use this token and the dashboard: give runner a token of an account of its own"
	case cloudflare.Down:
		out.Code, out.Temporary = "E_CF_DOWN", true
		out.Hint = "is the way to the internet open from here, and what does www.cloudflarestatus.com say?"
	case cloudflare.Changing:
		out.Code, out.Temporary = "E_CF_CHANGING", true
		out.Hint = "somebody or something edits it just now (audit log of the account): try again when it rests"
	case cloudflare.Cert:
		out.Code = "E_CF_CERT"
		out.Hint = "a proxy that opens TLS in between? compare the certificate from another network"
	}
	return out
}
