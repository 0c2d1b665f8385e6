package cloudstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

const (
	graphAPI  = "https://graph.microsoft.com/v1.0"
	microsoft = "https://login.microsoftonline.com/"
	maxAnswer = 1 << 20 // bytes
)

// OneDrive is an app registration of the user's own, and the drive that is meant.
type OneDrive struct {
	ClientID string
	Tenant   string // "common", "consumers" or a company's
	Site     string // https://contoso.sharepoint.com/sites/backup; "" is the person's own drive
}

// Account is what a login leads to.
type Account struct {
	Owner       string // "Runner <runner@contoso.example>"
	Kind        string // personal, business, documentLibrary
	Free, Total int64  // bytes; -1 unknown
}

// scopes are the least that do.
func (o OneDrive) scopes() []string {
	if o.Site != "" {
		return []string{"Sites.ReadWrite.All", "offline_access"}
	}
	return []string{"Files.ReadWrite", "offline_access"}
}

// LogIn logs in by device code: show tells a person what to do in a browser, on any
// machine. It returns when that was done, or refused.
func (o OneDrive) LogIn(ctx context.Context, w World, show func(uri, code string)) (Login, Account, error) {
	client, err := w.client()
	if err != nil {
		return Login{}, Account{}, err
	}
	defer client.CloseIdleConnections()
	ctx = context.WithValue(ctx, oauth2.HTTPClient, client)
	base := microsoft + url.PathEscape(o.Tenant) + "/oauth2/v2.0/"
	cfg := oauth2.Config{ClientID: o.ClientID, Scopes: o.scopes(), Endpoint: oauth2.Endpoint{DeviceAuthURL: base + "devicecode",
		TokenURL: base + "token", AuthStyle: oauth2.AuthStyleInParams}}
	device, err := cfg.DeviceAuth(ctx)
	if err != nil {
		return Login{}, Account{}, o.refused("ask for a code", err)
	}
	show(device.VerificationURI, device.UserCode)
	token, err := cfg.DeviceAccessToken(ctx, device)
	if err != nil {
		return Login{}, Account{}, o.refused("log in", err)
	}
	if token.RefreshToken == "" {
		return Login{}, Account{}, &failure.Error{Code: target.CodeDenied, System: "onedrive", Doing: "log in",
			Said: "there came no refresh token: the login would hold an hour", Hint: "the app registration needs the right offline_access"}
	}
	drive, err := o.drive(ctx, cfg.Client(ctx, token))
	if err != nil {
		return Login{}, Account{}, err
	}
	raw, err := json.Marshal(token)
	if err != nil {
		return Login{}, Account{}, err
	}
	login := Login{Kind: "onedrive", Options: map[string]string{"client_id": o.ClientID, "tenant": o.Tenant, "drive_id": drive.ID,
		"drive_type": drive.Kind, "access_scopes": strings.Join(o.scopes(), " "), "token": string(raw)}}
	return login, drive.account(), nil
}

// refused words an error of Microsoft's login.
func (o OneDrive) refused(doing string, err error) error {
	e := &failure.Error{Code: target.CodeDown, System: "onedrive", Doing: doing, Said: err.Error(), Temporary: true, Cause: err}
	var r *oauth2.RetrieveError
	if !errors.As(err, &r) {
		return e
	}
	e.Code, e.Temporary, e.Said = target.CodeDenied, false, r.ErrorCode
	if r.ErrorDescription != "" {
		e.Said += ": " + firstLine(r.ErrorDescription)
	}
	switch r.ErrorCode {
	case "authorization_declined", "access_denied":
		e.Hint = "somebody refused it in the browser: type it again"
	case "expired_token":
		e.Hint = "nobody typed the code in time: type it again"
	case "invalid_client", "unauthorized_client":
		e.Hint = "is the app registration there, in this tenant, with \"Allow public client flows\" switched on?"
	default:
		e.Hint = "see the app registration: its id, its tenant, and the rights " + strings.Join(o.scopes(), " and ")
	}
	return e
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return strings.TrimSpace(s)
}

// drive is a drive as Graph shows it.
type drive struct {
	ID    string `json:"id"`
	Kind  string `json:"driveType"`
	Owner struct {
		User struct {
			Name  string `json:"displayName"`
			Email string `json:"email"`
		} `json:"user"`
	} `json:"owner"`
	Quota struct {
		Total     int64 `json:"total"`
		Remaining int64 `json:"remaining"`
	} `json:"quota"`
}

func (d drive) account() Account {
	a := Account{Owner: d.Owner.User.Name, Kind: d.Kind, Free: d.Quota.Remaining, Total: d.Quota.Total}
	if d.Owner.User.Email != "" {
		a.Owner = strings.TrimSpace(a.Owner + " <" + d.Owner.User.Email + ">")
	}
	if a.Total == 0 {
		a.Free, a.Total = -1, -1
	}
	return a
}

// drive finds the drive that is meant.
func (o OneDrive) drive(ctx context.Context, client *http.Client) (d drive, err error) {
	path := "/me/drive"
	if o.Site != "" {
		u, err := url.Parse(o.Site)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return d, fmt.Errorf("site %q: want https://COMPANY.sharepoint.com/sites/NAME", o.Site)
		}
		var site struct {
			ID string `json:"id"`
		}
		if err := ask(ctx, client, "find the site", "/sites/"+u.Host+":/"+strings.Trim(u.EscapedPath(), "/"), &site); err != nil {
			return d, err
		}
		path = "/sites/" + url.PathEscape(site.ID) + "/drive"
	}
	if err := ask(ctx, client, "find the drive", path, &d); err != nil {
		return d, err
	}
	if d.ID == "" || d.Kind == "" {
		return d, &failure.Error{Code: target.CodeFailed, System: "onedrive", Doing: "find the drive", Said: "the answer names none",
			Hint: "is this Microsoft, or a network that wants to be logged in to?"}
	}
	return d, nil
}

func ask(ctx context.Context, client *http.Client, doing, path string, into any) error {
	fail := func(code failure.Code, format string, args ...any) error {
		return &failure.Error{Code: code, System: "onedrive", Doing: doing, Said: fmt.Sprintf(format, args...),
			Temporary: code == target.CodeDown}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, graphAPI+path, nil)
	if err != nil {
		return fail(target.CodeBadTarget, "%v", err)
	}
	res, err := client.Do(req)
	if err != nil {
		return fail(target.CodeDown, "%v", err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fail(target.CodeDown, "%v", err)
	}
	if res.StatusCode != http.StatusOK {
		var said struct {
			Error struct {
				Code, Message string
			}
		}
		_ = json.Unmarshal(b, &said) // a page of HTML says nothing more than its status
		return fail(target.CodeDenied, "%s %s %s", res.Status, said.Error.Code, said.Error.Message)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fail(target.CodeFailed, "the answer is not Graph's: %v", err)
	}
	return nil
}

func tlsConfig(roots []byte) (*tls.Config, error) {
	if len(roots) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, errors.New("there is no certificate among the roots")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
