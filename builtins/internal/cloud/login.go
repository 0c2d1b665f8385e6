package cloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/neosofia/runner/builtins/internal/engine"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/rclone/rclone/fs"
	"golang.org/x/sys/unix"
)

// inMemory keeps bytes where only this process finds them, under a name that a library
// can open.
func inMemory(b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("roots", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("keep certificates in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "roots")
	if _, err := f.Write(b); err != nil {
		return nil, errors.Join(fmt.Errorf("keep certificates in memory: %w", err), f.Close())
	}
	return f, nil
}

// login is a configuration of rclone: what is set goes to whoever keeps it, and only
// then on. An option that could not be kept ends the process: the setter has no error,
// and a rotated token that nobody has is worse than a step that failed.
type login struct {
	mu   sync.Mutex
	l    engine.Login
	keep engine.Keep
}

// Get implements configmap.Getter.
func (g *login) Get(key string) (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v, ok := g.l.Options[key]
	return v, ok
}

// Set implements configmap.Setter.
func (g *login) Set(key, value string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.l.Options[key] == value {
		return
	}
	next := engine.Login{Kind: g.l.Kind, Options: maps.Clone(g.l.Options)}
	next.Options[key] = value
	if err := g.keep(next); err != nil {
		fmt.Fprintf(os.Stderr, "the store changed the login, and it could not be kept: %v\n", err)
		os.Exit(1)
	}
	g.l = next
}

// expire makes the access token one whose time is over; false: there is none.
func (g *login) expire() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	var token map[string]any
	if json.Unmarshal([]byte(g.l.Options["token"]), &token) != nil || token["expiry"] == nil {
		return false
	}
	token["expiry"] = "2000-01-01T00:00:00Z"
	b, err := json.Marshal(token)
	if err != nil {
		return false
	}
	options := maps.Clone(g.l.Options)
	options["token"] = string(b)
	g.l.Options = options
	return true
}

// defaults are the backend's own.
type defaults fs.Options

// Get implements configmap.Getter.
func (d defaults) Get(key string) (string, bool) {
	if opt := fs.Options(d).Get(key); opt != nil {
		return opt.String(), true
	}
	return "", false
}

// account names whom a login is for, so that two targets of one account are one copy.
func account(l engine.Login) string {
	var parts []string
	for _, key := range []string{"drive_id", "url", "endpoint", "account", "team_drive", "access_key_id", "user", "provider", "bucket"} {
		if v := l.Options[key]; v != "" {
			if u, err := url.Parse(v); err == nil && u.User != nil {
				u.User = nil // a password may stand there
				v = u.String()
			}
			parts = append(parts, v)
		}
	}
	return strings.Join(append([]string{l.Kind}, parts...), " ")
}

// secure refuses servers that are reached without TLS: the login would cross in clear.
func secure(l engine.Login) error {
	for _, key := range slices.Sorted(maps.Keys(l.Options)) {
		u, err := url.Parse(l.Options[key])
		if err != nil || u.Scheme != "http" || u.Host == "" {
			continue
		}
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
			continue
		}
		return &failure.Error{Code: target.CodeBadTarget, Doing: "open it", Said: "its login names http://" + u.Host + " as its " + key +
			": that is not encrypted", Hint: "https, and a certificate that this machine accepts; then runner cloud import again"}
	}
	return nil
}
