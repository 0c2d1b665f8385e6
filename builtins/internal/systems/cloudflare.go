package systems

import (
	"context"
	"errors"

	"github.com/neosofia/runner/builtins/internal/client/cloudflare"
	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/internal/site"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
)

// CloudflareCodes are those that every primitive of Cloudflare can raise.
func CloudflareCodes() []failure.Code {
	return []failure.Code{
		cloudflare.CodeAuth,
		cloudflare.CodeForbidden,
		cloudflare.CodeLimited,
		cloudflare.CodeDown,
		cloudflare.CodeChanging,
		cloudflare.CodeAnswer,
		cloudflare.CodeCert,
		site.CodeNoZone,
		keyring.CodeSecret,
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
		return nil, nil, &failure.Error{Code: cloudflare.CodeAuth, System: "cloudflare " + sys.Name, Doing: "make a client", Said: err.Error(), Hint: "runner secret set " + sys.Token.Name + " stores the token"}
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
	var own *failure.Error
	var e *cloudflare.Error
	if err == nil || errors.As(err, &own) || errors.Is(err, context.Canceled) || !errors.As(err, &e) {
		return err
	}
	out := &failure.Error{Code: cloudflare.CodeAnswer, System: "cloudflare " + system, Doing: doing, Said: e.Error(), Cause: err}
	switch e.Kind {
	case cloudflare.Auth:
		out.Code = cloudflare.CodeAuth
		out.Hint = "dash.cloudflare.com > Manage Account > API Tokens shows whether the token is active; runner secret set NAME stores another one"
	case cloudflare.Forbidden:
		out.Code = cloudflare.CodeForbidden
		out.Hint = "the token needs, to read: Zone, DNS, Zone Settings, Zone WAF, Page Rules of the zones; Account Rulesets, Account Filter Lists, Cloudflare Tunnel of the account"
	case cloudflare.NotFound:
		out.Code = site.CodeNoZone
		out.Hint = "the token must include the zone (Zone Resources); with zones of one name in several accounts, name account = \"id\" in cloudflare(...)"
	case cloudflare.Limited:
		out.Code, out.Temporary = cloudflare.CodeLimited, true
		out.Hint = "1200 requests in 5 minutes are allowed, over all programs that use this token and the dashboard: give runner a token of an account of its own"
	case cloudflare.Down:
		out.Code, out.Temporary = cloudflare.CodeDown, true
		out.Hint = "is the way to the internet open from here, and what does www.cloudflarestatus.com say?"
	case cloudflare.Changing:
		out.Code, out.Temporary = cloudflare.CodeChanging, true
		out.Hint = "somebody or something edits it just now (audit log of the account): try again when it rests"
	case cloudflare.Cert:
		out.Code = cloudflare.CodeCert
		out.Hint = "a proxy that opens TLS in between? compare the certificate from another network"
	}
	return out
}
