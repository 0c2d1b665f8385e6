package lab

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/neosofia/runner/builtins/lab/graph"
	"github.com/neosofia/runner/builtins/lab/sftp"
	"github.com/neosofia/runner/builtins/lab/unifi"
)

// The addresses of the lab's systems.
const (
	ProxmoxAddr = "pve1.lab:8006"  // Proxmox VE API, TLS
	NodeAddr    = "pve1.lab:22"    // sftp to the node's files, user root
	UniFiAddr   = "unifi.lab:443"  // UniFi console, TLS
	OffsiteAddr = "offsite.lab:22" // sftp to the offsite account, user runner

	CloudflareAddr = "api.cloudflare.lab:443" // Cloudflare's API, TLS

	// OneDrive: its hosts are Microsoft's, since its clients know no others.
	GraphAddr      = graph.API + ":443"
	LoginAddr      = graph.Login + ":443"
	SharePointAddr = graph.SharePoint + ":443"
)

// serving is the file serving.json: where the process that holds the world
// listens.
type serving struct {
	PID     int               `json:"pid"`
	Servers map[string]string `json:"servers"` // lab address -> real address
}

func (w *World) servingPath() string { return filepath.Join(w.dir, "serving.json") }

// Dial connects to a system of the lab by its lab address. The system's server
// starts with the first connection, in the process that holds the world.
func (w *World) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if network != "tcp" && network != "tcp4" {
		return nil, fmt.Errorf("dial %s: the lab speaks tcp, not %s", addr, network)
	}
	var d net.Dialer
	for tries := 0; ; tries++ {
		real, err := w.address(ctx, addr)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		c, err := d.DialContext(ctx, "tcp", real)
		if err == nil || tries == 1 || !errors.Is(err, syscall.ECONNREFUSED) {
			return c, err
		}
		// The process that served was killed: its file is still there.
		if took, terr := w.takeOver(ctx); terr != nil || !took {
			return nil, errors.Join(err, terr)
		}
	}
}

// address is the real address of a lab address. When the process that held the world
// has ended, this one takes its place; while it serves nothing yet, this one waits.
func (w *World) address(ctx context.Context, addr string) (string, error) {
	if !known(addr) {
		return "", &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
	}
	for waited := time.Duration(0); ; waited += takeEvery {
		if took, err := w.takeOver(ctx); err != nil {
			return "", err
		} else if took {
			return w.start(addr)
		}
		real, err := w.served(addr)
		if err != nil || real != "" {
			return real, err
		}
		if waited >= maxTake {
			return "", fmt.Errorf("lookup %s: another process holds the world and serves nothing", addr)
		}
		if err := wallSleep(ctx, takeEvery); err != nil {
			return "", err
		}
	}
}

const (
	takeEvery = 20 * time.Millisecond
	maxTake   = 30 * time.Second // for a process that holds the world
)

// takeOver makes this process the one that serves, if no other does.
func (w *World) takeOver(ctx context.Context) (bool, error) {
	w.taking.Lock()
	defer w.taking.Unlock()
	w.mu.Lock()
	mine, closed := w.lock != nil, w.ctx.Err() != nil
	w.mu.Unlock()
	if mine || closed {
		return mine, nil
	}
	lock, err := hold(filepath.Join(w.dir, "serving.lock"))
	if err != nil || lock == nil {
		return false, err
	}
	if err := errors.Join(w.cluster.Close(), w.detach()); err != nil {
		return false, errors.Join(err, lock.Close())
	}
	w.mu.Lock()
	w.lock = lock
	w.mu.Unlock()
	return true, w.openState(ctx)
}

// served is where the process that holds the world serves a system; "" is nowhere yet.
func (w *World) served(addr string) (string, error) {
	data, err := os.ReadFile(w.servingPath())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var s serving
	if err := json.Unmarshal(data, &s); err != nil {
		return "", fmt.Errorf("read %s: %w", w.servingPath(), err)
	}
	return s.Servers[addr], nil
}

func addresses() []string {
	return []string{ProxmoxAddr, NodeAddr, OffsiteAddr, CloudflareAddr, UniFiAddr, GraphAddr, LoginAddr, SharePointAddr}
}

func known(addr string) bool {
	for _, a := range addresses() {
		if a == addr {
			return true
		}
	}
	return false
}

// Serve starts all servers on loopback ports, writes serving.json so that
// other processes find them, and returns their real addresses by lab address.
// They end with Close.
func (w *World) Serve(ctx context.Context) (map[string]string, error) {
	if w.lock == nil {
		return nil, errors.New("serve lab: another process serves this world")
	}
	out := map[string]string{}
	for _, addr := range addresses() {
		real, err := w.start(addr)
		if err != nil {
			return nil, err
		}
		out[addr] = real
	}
	return out, ctx.Err()
}

// start starts the server of one address unless it runs, and all others with the
// first: another process may want them.
func (w *World) start(addr string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if real := w.servers[addr]; real != "" {
		return real, nil
	}
	if !known(addr) {
		return "", &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
	}
	for _, other := range addresses() {
		if w.servers[other] != "" {
			continue
		}
		if err := w.serve(other); err != nil {
			return "", err
		}
	}
	return w.servers[addr], writeJSON(w.servingPath(), serving{os.Getpid(), w.servers})
}

func (w *World) serve(addr string) error {
	if w.ctx.Err() != nil {
		return errors.New("the lab is closed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start %s: %w", addr, err)
	}
	run, err := w.server(addr, l)
	if err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", addr, err), l.Close())
	}
	w.servers[addr] = l.Addr().String()
	w.work.Add(1)
	go func() {
		defer w.work.Done()
		_ = run() // ends with the listener; what a client needs to know it sees
	}()
	return nil
}

// server makes the function that serves one address.
func (w *World) server(addr string, l net.Listener) (func() error, error) {
	switch addr {
	case ProxmoxAddr:
		cfg, err := w.tlsConfig("pve1.lab")
		if err != nil {
			return nil, err
		}
		return func() error { return w.cluster.Serve(tls.NewListener(l, cfg)) }, nil
	case UniFiAddr:
		cfg, err := w.tlsConfig("unifi.lab")
		if err != nil {
			return nil, err
		}
		c := &unifi.Console{Dir: w.unifiDir(), User: "runner", Password: unifiPassword, Faults: w.faults, Now: w.opts.now}
		return func() error { return c.Serve(w.ctx, tls.NewListener(l, cfg)) }, nil
	case CloudflareAddr:
		cfg, err := w.tlsConfig("api.cloudflare.lab")
		if err != nil {
			return nil, err
		}
		return func() error { return w.cloudflare.Serve(w.ctx, tls.NewListener(l, cfg)) }, nil
	case GraphAddr, LoginAddr, SharePointAddr:
		cfg, err := w.tlsConfig(graph.API)
		if err != nil {
			return nil, err
		}
		return func() error { return w.OneDrive().Serve(w.ctx, tls.NewListener(l, cfg)) }, nil
	case NodeAddr:
		cfg, err := w.sshConfig("pve1.lab", "root", "ssh user node")
		m := w.Node()
		cfg.Root, cfg.Home, cfg.Exec = m.Root, "root", m.Exec
		return func() error { return sftp.Serve(w.ctx, l, cfg) }, err
	default:
		cfg, err := w.sshConfig("offsite.lab", "runner", "ssh user offsite")
		cfg.Root = filepath.Join(w.dir, "offsite", "home", "runner")
		return func() error { return sftp.Serve(w.ctx, l, cfg) }, err
	}
}

// tlsConfig shows a host's certificate, or another one when the fault is due.
func (w *World) tlsConfig(host string) (*tls.Config, error) {
	usual, err := certificate(host, "")
	if err != nil {
		return nil, err
	}
	changed, err := certificate(host, "renewed")
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			due, err := w.faults.Due("tls "+host, "new-cert")
			if err != nil {
				return nil, err
			}
			if len(due) > 0 {
				return &changed, nil
			}
			return &usual, nil
		},
	}, nil
}

func (w *World) sshConfig(host, user, userKey string) (sftp.Config, error) {
	cfg := sftp.Config{Name: host, User: user, Faults: w.faults, Sleep: w.opts.sleep}
	var err error
	if cfg.Key, err = publicKey(key(userKey)); err != nil {
		return cfg, err
	}
	if cfg.Host, err = ssh.NewSignerFromKey(key("ssh host " + host)); err != nil {
		return cfg, err
	}
	cfg.NewHost, err = ssh.NewSignerFromKey(key("ssh changed host " + host))
	return cfg, err
}
