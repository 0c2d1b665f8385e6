package systems

import (
	"context"

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
	c, err := unifi.Open(ctx, unifi.Config{Name: u.Name, URL: u.URL, Fingerprints: u.Fingerprints, User: u.User, Password: trimmed(password),
		Site: u.Site, Dial: w.Env.Dial,
		Sleep: runtime.RealClock{}.Sleep})
	return c, unifi.Explain(name, "connect", err)
}
