package systems

import (
	"context"

	"github.com/neosofia/runner/builtins/internal/client/cloudflare"
	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/site"
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
		cloudflare.CodeNoZone,
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
		return nil, nil, &failure.Error{Code: cloudflare.CodeAuth, System: "cloudflare " + sys.Name, Doing: "make a client", Said: err.Error(),
			Hint: "runner secret set " + sys.Token.Name + " stores the token"}
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
