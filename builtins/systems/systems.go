// Package systems is what primitives reach: the site, and through it the clients
// of systems, the targets, the keyring. Everything is opened at its first use
// and shared by the branches of a run.
//
// The lab takes the place of the real world by five functions alone: how to
// dial, where the root of the file system is, which device a path lies on, what the
// programs of this machine do, and which keyring is read. Everything above them is the same code.
package systems

import (
	"context"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/neosofia/runner/builtins/internal/client/cloudflare"
	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Env is the outside.
type Env struct {
	Root    string // prefix of every local path; "" is the real machine
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	Roots   []byte // PEM: certificates that cloud stores must show, through Dial; none: the system's
	Device  func(path string) (ledger.Device, error)
	Program Program // nil: the programs of the real machine; none where Root is not ""
	Keyring *keyring.Keyring
	Binary  func() (path string, ok bool) // a static runner to leave on targets
	Version string
	Host    string // this machine's name: manifests say who wrote them
	Spool   string // folder of artifacts that are not copied yet; "" is none
}

// Systems is the outside, with a site.
type Systems struct {
	Site  *site.Site
	Env   Env
	Given map[string]any // what a policy test says of the fake world

	mu      sync.Mutex
	clients map[string]*proxmox.Client
	flares  map[string]*cloudflare.Client
	chunks  target.Repositories
	left    map[string]bool // targets that this run has left the program on

	onceMu sync.Mutex
	once   map[string]any
}

// New joins a site with its outside.
func New(s *site.Site, env Env) *Systems {
	if env.Dial == nil {
		env.Dial = (&net.Dialer{}).DialContext
	}
	return &Systems{Site: s, Env: env, clients: map[string]*proxmox.Client{}, flares: map[string]*cloudflare.Client{},
		left: map[string]bool{}, once: map[string]any{}}
}

// Once gives what a key stands for, found out once: what a run knows of the time before
// it does not change while it lasts.
func (w *Systems) Once(key string, find func() (any, error)) (any, error) {
	w.onceMu.Lock()
	defer w.onceMu.Unlock()
	if v, ok := w.once[key]; ok {
		return v, nil
	}
	v, err := find()
	if err == nil {
		w.once[key] = v
	}
	return v, err
}

// Meet notes that something was met with in this run, for Met.
func (w *Systems) Meet(key string) {
	w.onceMu.Lock()
	defer w.onceMu.Unlock()
	w.once[key] = true
}

// Met reports what Meet noted.
func (w *Systems) Met(key string) bool {
	w.onceMu.Lock()
	defer w.onceMu.Unlock()
	_, ok := w.once[key]
	return ok
}

// program is the static runner for a target, once in a run: it is hashed and
// compared each time.
func (w *Systems) program(target string) func() (string, bool) {
	return func() (string, bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.left[target] {
			return "", true
		}
		w.left[target] = true
		if w.Env.Binary == nil {
			return "", false
		}
		return w.Env.Binary()
	}
}

// Of gives the world of a step.
func Of(s *runtime.Step) *Systems { return s.World.(*Systems) }

// Secret resolves a reference. The caller clears what it gets.
func (w *Systems) Secret(ctx context.Context, s site.Secret) ([]byte, error) {
	if s.Name == "" {
		return nil, &failure.Error{Code: keyring.CodeSecret, Doing: "read a secret", Said: "the site names none"}
	}
	if w.Env.Keyring == nil {
		return nil, &failure.Error{Code: keyring.CodeSecret, Doing: "read secret " + s.Name, Said: "there is no keyring"}
	}
	v, err := w.Env.Keyring.Get(ctx, s.Name)
	if err == nil {
		return v, nil
	}
	text, hint, _ := strings.Cut(err.Error(), "\nhint: ")
	return nil, &failure.Error{Code: keyring.CodeSecret, Doing: text, Hint: hint, Cause: err}
}

// Proxmox returns the client of a system; "" is the only one.
func (w *Systems) Proxmox(ctx context.Context, name string) (*proxmox.Client, *site.Proxmox, error) {
	sys, err := w.Site.System(name)
	if err != nil {
		return nil, nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.clients[sys.Name]; ok {
		return c, sys, nil
	}
	token, err := w.Secret(ctx, sys.Token)
	if err != nil {
		return nil, nil, err
	}
	defer clear(token)
	c, err := proxmox.New(proxmox.Config{Name: sys.Name, URLs: sys.URLs, Fingerprints: sys.Fingerprints, TokenID: sys.TokenID,
		Token: trimmed(token), Dial: w.Env.Dial})
	if err != nil {
		return nil, nil, err
	}
	w.clients[sys.Name] = c
	return c, sys, nil
}

func trimmed(b []byte) []byte { return []byte(strings.TrimSpace(string(b))) }

// OnNode reports whether runner runs on that very node of the cluster: then its
// storages are local paths.
func (w *Systems) OnNode(system, node string) bool {
	to, err := os.Readlink(filepath.Join(w.Env.Root, "/etc/pve/local"))
	if err != nil || filepath.Base(to) != node {
		return false
	}
	return len(w.Site.Proxmox) == 1 || w.ownCertificate(system)
}

// ownCertificate tells two clusters apart that each have a node of that name: by
// the certificate that this node serves.
func (w *Systems) ownCertificate(system string) bool {
	sys, err := w.Site.System(system)
	if err != nil {
		return false
	}
	for _, file := range []string{"pveproxy-ssl.pem", "pve-ssl.pem"} {
		raw, err := os.ReadFile(filepath.Join(w.Env.Root, "/etc/pve/local", file))
		if err != nil {
			continue
		}
		block, _ := pem.Decode(raw)
		if block == nil {
			return false
		}
		return proxmox.Accepts(sys.Fingerprints, block.Bytes)
	}
	return false
}

// DevicesOf identifies the devices that paths of this machine lie on, as far as they can
// be looked up.
func (w *Systems) DevicesOf(paths ...string) (ids []string) {
	if w.Env.Device == nil {
		return nil
	}
	for _, p := range paths {
		if d, err := w.Env.Device(p); err == nil && d.ID != "" {
			ids = append(ids, d.ID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// ArchiveSize asks for the size of an archive where it lies.
func (w *Systems) ArchiveSize(ctx context.Context, origin ledger.Origin) (int64, error) {
	c, _, err := w.Proxmox(ctx, origin.System)
	if err != nil {
		return 0, err
	}
	v, err := c.Archive(ctx, origin.Node, origin.Volume)
	return v.Size, err
}

// ArchiveDevice identifies the device of an archive that is counted in place.
// Where runner is not on the node, the node and storage stand for it.
func (w *Systems) ArchiveDevice(origin ledger.Origin) ledger.Device {
	if w.OnNode(origin.System, origin.Node) {
		if d, err := w.Env.Device(filepath.Dir(origin.Path)); err == nil {
			return d
		}
	}
	return ledger.Device{ID: "host:" + origin.System + "/" + origin.Node + "/" + origin.Storage}
}
