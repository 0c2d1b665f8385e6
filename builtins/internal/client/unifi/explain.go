package unifi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/tlspin"
	"github.com/neosofia/runner/runtime/failure"
)

// Explain words an error of a console for the operator. What is worded already stays as it is.
func Explain(name, doing string, err error) error {
	var own *failure.Error
	if err == nil || errors.As(err, &own) || errors.Is(err, context.Canceled) {
		return err
	}
	e := &failure.Error{Code: CodeDown, System: strings.TrimSpace("unifi " + name), Doing: doing, Said: err.Error(), Cause: err,
		Temporary: true,
		Hint:      "is the console up, and is its port open from here?"}
	var pin *tlspin.Error
	var api *Error
	switch {
	case errors.As(err, &pin):
		e.Code, e.Said, e.Temporary = CodeCert, pin.Error(), false
		e.Hint = "if the console's certificate was renewed, compare it there and put it into fingerprints in site.star"
	case errors.As(err, &api) && api.Status == SecondFactor:
		e.Code, e.Temporary = CodeAuth, false
		e.Hint = "the account has a second factor, which nobody can type at night: make a local account without one for runner"
	case errors.As(err, &api) && api.Status == http.StatusTooManyRequests:
		e.Hint = "the console takes no more requests for now, after too many logins, too: the next run tries again"
		if api.Retry > 0 {
			e.Hint = fmt.Sprintf("the console takes no more requests for now, after too many logins, too: it says to come again in %s", api.Retry)
		}
	case errors.As(err, &api) && (api.Status == http.StatusUnauthorized || api.Status == http.StatusForbidden):
		e.Code, e.Temporary = CodeAuth, false
		e.Hint = "a local administrator is needed: accounts of ui.com do not work; runner secret set NAME stores the password"
	case errors.As(err, &api) && api.Status < 500:
		e.Code, e.Temporary, e.Hint = CodeAnswer, false, "the console's interface is not a documented one: its version may have changed it"
	}
	return e
}
