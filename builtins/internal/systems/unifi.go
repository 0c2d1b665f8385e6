package systems

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/internal/client/unifi"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
)

// UniFiCodes are those of a UniFi console.
func UniFiCodes() []failure.Code {
	return []failure.Code{
		unifi.CodeDown,
		unifi.CodeAuth,
		unifi.CodeCert,
		unifi.CodeAnswer,
		unifi.CodeBackup,
		keyring.CodeSecret,
	}
}

// UniFi logs in to a console of the site.
func (w *Systems) UniFi(ctx context.Context, name string) (*unifi.Client, error) {
	u, err := w.Site.UniFiNamed(name)
	if err != nil {
		return nil, err
	}
	password, err := w.Secret(ctx, u.Password)
	if err != nil {
		return nil, err
	}
	defer clear(password)
	c, err := unifi.Open(ctx, unifi.Config{Name: u.Name, URL: u.URL, Fingerprints: u.Fingerprints, User: u.User, Password: trimmed(password), Site: u.Site, Dial: w.Env.Dial,
		Sleep: runtime.RealClock{}.Sleep})
	return c, UniFiError(name, "connect", err)
}

// UniFiError words an error of a console for the operator.
func UniFiError(name, doing string, err error) error {
	var own *failure.Error
	if err == nil || errors.As(err, &own) || errors.Is(err, context.Canceled) {
		return err
	}
	e := &failure.Error{Code: unifi.CodeDown, System: "unifi " + name, Doing: doing, Said: err.Error(), Cause: err, Temporary: true, Hint: "is the console up, and is its port open from here?"}
	var pin *unifi.PinError
	var api *unifi.Error
	switch {
	case errors.As(err, &pin):
		e.Code, e.Said, e.Temporary = unifi.CodeCert, pin.Error(), false
		e.Hint = "if the console's certificate was renewed, compare it there and put it into fingerprints in site.star"
	case errors.As(err, &api) && api.Status == unifi.SecondFactor:
		e.Code, e.Temporary = unifi.CodeAuth, false
		e.Hint = "the account has a second factor, which nobody can type at night: make a local account without one for runner"
	case errors.As(err, &api) && api.Status == http.StatusTooManyRequests:
		e.Hint = "the console takes no more requests for now, after too many logins, too: the next run tries again"
		if api.Retry > 0 {
			e.Hint = fmt.Sprintf("the console takes no more requests for now, after too many logins, too: it says to come again in %s", api.Retry)
		}
	case errors.As(err, &api) && (api.Status == http.StatusUnauthorized || api.Status == http.StatusForbidden):
		e.Code, e.Temporary = unifi.CodeAuth, false
		e.Hint = "a local administrator is needed: accounts of ui.com do not work; runner secret set NAME stores the password"
	case errors.As(err, &api) && api.Status < 500:
		e.Code, e.Temporary, e.Hint = unifi.CodeAnswer, false, "the console's interface is not a documented one: its version may have changed it"
	}
	return e
}
