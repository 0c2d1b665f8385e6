package target

import (
	"context"
	"net/url"
	"path"
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
)

// Open opens a target and checks that it is the one that is meant.
//
// Errors are *failure.Error, or ctx's.
func Open(ctx context.Context, spec Spec, env Env) (*Target, error) {
	t := &Target{spec: spec, env: env}
	u, err := t.parse()
	if err != nil {
		return nil, err
	}
	if err := t.readySeals(); err != nil {
		return nil, err
	}
	switch u.Scheme {
	case "file":
		err = t.openFolder(ctx, u)
	case "sftp":
		err = t.openSFTP(ctx, u)
	case "pve":
		t.storage = u.Host
		t.device = ledger.Device{ID: "pve:" + u.Host}
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Target) parse() (*url.URL, error) {
	name := t.spec.Name
	if name == "" || t.env.Now == nil {
		return nil, badTarget(name, "a target needs a name and a clock")
	}
	u, err := url.Parse(t.spec.URL)
	if err != nil {
		return nil, badTarget(name, "the url cannot be parsed")
	}
	local := t.spec.UUID != "" || t.spec.Serial != ""
	switch {
	case u.Scheme != "file" && u.Scheme != "sftp" && u.Scheme != "pve":
		return nil, badTarget(name, "scheme %q is not known; file, sftp and pve are", u.Scheme)
	case u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return nil, badTarget(name, "the url has more than scheme, host and path")
	case u.Scheme == "file" && (u.Host != "" || !path.IsAbs(u.Path)):
		return nil, badTarget(name, "a file url is file:///folder")
	case u.Scheme == "sftp" && (u.Hostname() == "" || u.User.Username() == "" || !path.IsAbs(u.Path)):
		return nil, badTarget(name, "an sftp url is sftp://user@host[:port]/folder")
	case u.Scheme == "pve" && (u.Host == "" || strings.Trim(u.Path, "/") != ""):
		return nil, badTarget(name, "a pve url is pve://storage")
	case u.Scheme != "file" && local:
		return nil, badTarget(name, "uuid and serial are for file targets")
	case t.spec.PartSize < 0 || t.spec.Bandwidth < 0:
		return nil, badTarget(name, "part_size and bandwidth are positive numbers of bytes")
	}
	if _, has := u.User.Password(); has {
		return nil, badTarget(name, "a url holds no password")
	}
	t.limit = newLimiter(t.spec.Bandwidth)
	return u, nil
}

// Access is what OpenPath needs beyond a place.
type Access struct {
	HostKey string                                    // as in Spec
	Key     func(ctx context.Context) ([]byte, error) // as in Spec
}

// OpenPath opens a medium of which no site knows: a folder, or an sftp URL.
func OpenPath(ctx context.Context, place string, env Env, access Access) (*Target, error) {
	spec := Spec{Name: place, URL: place, HostKey: access.HostKey, Key: access.Key}
	if !strings.Contains(place, "://") {
		if !path.IsAbs(place) {
			return nil, badTarget(place, "the path is not absolute")
		}
		spec.URL = (&url.URL{Scheme: "file", Path: place}).String()
	}
	return Open(ctx, spec, env)
}
