package target

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Scheme is a kind of place that holds copies. A new one is a line of schemes, a Store,
// and a constructor that sets the store and its Capabilities.
type Scheme struct {
	Name      string // of the URL
	Form      string // "file:///folder"
	Local     bool   // a folder of this machine
	Removable bool   // uuid and serial can be demanded of what is behind it
	InPlace   bool   // archives are counted where the source keeps them; nothing is written
	Keyed     bool   // the server has a host key, and we one of our own
	Foreign   bool   // a foreign engine reaches it, with a login; a site seals what lies there

	valid func(u *url.URL) bool
	open  func(ctx context.Context, t *Target) error
}

var schemes = []Scheme{
	{Name: "file", Form: "file:///folder", Local: true, Removable: true,
		valid: func(u *url.URL) bool { return u.Host == "" && path.IsAbs(u.Path) }, open: openFolder},
	{Name: "sftp", Form: "sftp://user@host[:port]/folder", Keyed: true,
		valid: func(u *url.URL) bool { return u.Hostname() != "" && u.User.Username() != "" && path.IsAbs(u.Path) }, open: openSFTP},
	{Name: "pve", Form: "pve://[system/]storage", InPlace: true,
		valid: func(u *url.URL) bool { return u.Host != "" && strings.Count(strings.Trim(u.Path, "/"), "/") == 0 }, open: openStorage},
	{Name: "onedrive", Form: "onedrive:///folder", Foreign: true, valid: ofLogin, open: openEngine},
	{Name: "webdav", Form: "webdav:///folder", Foreign: true, valid: ofLogin, open: openEngine},
	{Name: "cloud", Form: "cloud:///folder", Foreign: true, valid: ofLogin, open: openEngine},
}

// ofLogin is the form of a place whose server and account stand in its login.
func ofLogin(u *url.URL) bool { return u.Host == "" && path.IsAbs(u.Path) && path.Clean(u.Path) != "/" }

// Place is a target's URL, parsed once. The zero Place is nowhere.
type Place struct {
	Scheme
	URL *url.URL
}

// Folder is the path of a local place; "" of others.
func (p Place) Folder() string {
	if !p.Local {
		return ""
	}
	return path.Clean(p.URL.Path)
}

// ParsePlace reads the URL of a target. Errors are for whoever wrote it.
func ParsePlace(raw string) (Place, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return Place{}, errors.New("the url cannot be parsed")
	}
	at := slices.IndexFunc(schemes, func(s Scheme) bool { return s.Name == u.Scheme })
	if at < 0 {
		var forms []string
		for _, s := range schemes {
			forms = append(forms, s.Form)
		}
		return Place{}, fmt.Errorf("unknown scheme %q: want %s", u.Scheme, strings.Join(forms, " or "))
	}
	p := Place{schemes[at], u}
	switch _, password := u.User.Password(); {
	case u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return Place{}, errors.New("the url has more than scheme, host and path")
	case password:
		return Place{}, errors.New("the url holds a password: name a key with secret(…)")
	case !p.valid(u):
		return Place{}, errors.New("the url must have the form " + p.Form)
	}
	return p, nil
}

// Storage names what a pve:// place counts: a storage of a system, "" being the system
// that made the archive. Both are "" of other places.
func (p Place) Storage() (system, storage string) {
	if !p.InPlace {
		return "", ""
	}
	if below := strings.Trim(p.URL.Path, "/"); below != "" {
		return p.URL.Host, below
	}
	return "", p.URL.Host
}
