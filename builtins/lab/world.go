package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/neosofia/runner/builtins/lab/cloudflare"
	"github.com/neosofia/runner/builtins/lab/fault"
	"github.com/neosofia/runner/builtins/lab/graph"
	"github.com/neosofia/runner/builtins/lab/host"
	"github.com/neosofia/runner/builtins/lab/proxmox"
	"github.com/neosofia/runner/builtins/lab/unifi"
)

// World is one simulated site in one folder.
type World struct {
	dir     string
	opts    options
	faults  *fault.Set
	cluster *proxmox.Cluster
	lock    *os.File // nil: another process serves this world

	taking   sync.Mutex // one dial at a time takes the world over
	attached *os.File   // says to the process that serves that this one needs it

	cloudflare *cloudflare.Server // its files are there for every process

	onedrive *graph.Server // likewise

	ctx  context.Context // ends with Close; carries no values
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	servers map[string]string // name -> real address of those that run here
}

type options struct {
	now       func() time.Time
	sleep     func(context.Context, time.Duration) error
	authDelay time.Duration
	seed      uint64
}

// Option changes how a world is opened.
type Option func(*options)

// WithAuthDelay sets how long a refused login waits; a real node takes 3 s.
func WithAuthDelay(d time.Duration) Option { return func(o *options) { o.authDelay = d } }

// WithClock replaces the clock and the waiting of everything in the world.
func WithClock(now func() time.Time, sleep func(context.Context, time.Duration) error) Option {
	return func(o *options) { o.now, o.sleep = now, sleep }
}

// WithSeed chooses the contents of a new world; 1 without it.
func WithSeed(seed uint64) Option { return func(o *options) { o.seed = seed } }

// worldFile is world.json: the mark of a folder that holds a world, written
// last when it is made.
type worldFile struct {
	Version int    `json:"version"`
	Seed    uint64 `json:"seed"`
}

const worldVersion = 2

// Open opens the world in dir, and makes it when dir is missing or empty. Work
// that was under way when the last process ended goes on. When another process
// holds the world, this one uses the servers of that one.
func Open(ctx context.Context, dir string, opts ...Option) (*World, error) {
	o := options{now: wallClock, sleep: wallSleep, authDelay: 3 * time.Second, seed: 1}
	for _, set := range opts {
		set(&o)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	w := &World{dir: dir, opts: o, servers: map[string]string{}}
	w.ctx, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := w.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open lab %s: %w", dir, err), w.Close())
	}
	return w, nil
}

func (w *World) open(ctx context.Context) error {
	var err error
	if w.lock, err = hold(filepath.Join(w.dir, "serving.lock")); err != nil {
		return err
	}
	if w.lock == nil {
		if err := w.attach(); err != nil {
			return err
		}
	}
	return w.openState(ctx)
}

// openState opens what the systems know: to serve it, or beside the process that does.
func (w *World) openState(ctx context.Context) error {
	var err error
	if w.lock != nil {
		if err := os.Remove(w.servingPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := w.create(); err != nil {
			return err
		}
	}
	if w.faults, err = fault.Open(filepath.Join(w.dir, "faults.json")); err != nil {
		return err
	}
	w.onedrive = &graph.Server{Dir: filepath.Join(w.dir, "onedrive"), ClientID: OneDriveClient, Refresh: oneDriveRefresh(), Faults: w.faults,
		Now: w.opts.now, Quota: 1 << 40}
	open := cloudflare.Open
	if w.lock == nil {
		open = cloudflare.Attach
	}
	if w.cloudflare, err = open(cloudflare.Config{Dir: filepath.Join(w.dir, "cloudflare"), Token: cloudflareToken(), Faults: w.faults,
		Now: w.opts.now, Sleep: w.opts.sleep}); err != nil {
		return err
	}
	cfg := proxmox.Config{
		Dir: w.clusterDir(), Faults: w.faults, Now: w.opts.now, Sleep: w.opts.sleep,
		AuthDelay: w.opts.authDelay, Fingerprint: Fingerprint(),
	}
	if w.lock == nil {
		w.cluster, err = proxmox.Attach(ctx, cfg)
	} else {
		w.cluster, err = proxmox.Open(ctx, cfg)
	}
	return err
}

// OneDrive is the account at OneDrive, as tests see and change it.
func (w *World) OneDrive() *graph.Server { return w.onedrive }

func (w *World) unifiDir() string { return filepath.Join(w.dir, "unifi") }

func (w *World) clusterDir() string { return filepath.Join(w.dir, "pve") }

// hold takes the lock of the process that serves a world; nil when another one
// has it.
func hold(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, f.Close()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f, nil
}

// attach says to the process that serves that this one is a client of it.
func (w *World) attach() error {
	f, err := os.OpenFile(filepath.Join(w.dir, "attached.lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
		return errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	w.attached = f
	return nil
}

func (w *World) detach() error {
	if w.attached == nil {
		return nil
	}
	f := w.attached
	w.attached = nil
	return f.Close()
}

// handOver goes on serving while other processes are at work with this one's systems:
// a true system does not end with the run that met it first.
func (w *World) handOver() error {
	for waited := time.Duration(0); len(w.servers) > 0 && waited < maxTake; waited += takeEvery {
		f, err := hold(filepath.Join(w.dir, "attached.lock"))
		if err != nil {
			return err
		}
		if f != nil {
			return f.Close()
		}
		if wallSleep(w.ctx, takeEvery) != nil {
			break
		}
	}
	return nil
}

// create makes the world unless it is there.
func (w *World) create() error {
	mark := filepath.Join(w.dir, "world.json")
	data, err := os.ReadFile(mark)
	if err == nil {
		var f worldFile
		if err := json.Unmarshal(data, &f); err != nil {
			return fmt.Errorf("read %s: %w", mark, err)
		}
		if f.Version != worldVersion {
			return fmt.Errorf("the world is of version %d, this program knows %d\nhint: the lab protects nothing: remove its folder, or give it "+
				"another one with --state", f.Version, worldVersion)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := w.emptied(); err != nil {
		return err
	}
	for _, d := range []string{"machine/media/offline-a", "machine/media/offline-b", "machine/srv/copies/sealed", "offsite/home/runner",
		"detached"} {
		if err := os.MkdirAll(filepath.Join(w.dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := w.createDevices(); err != nil {
		return err
	}
	if err := proxmox.Create(w.clusterDir(), w.opts.seed, w.opts.now(), tokens()); err != nil {
		return err
	}
	if err := unifi.Create(w.unifiDir(), w.opts.now()); err != nil {
		return err
	}
	if err := w.Node().Create(); err != nil {
		return err
	}
	return writeJSON(mark, worldFile{worldVersion, w.opts.seed})
}

// emptied clears what a creation that was killed has left, and refuses a
// folder that holds anything else.
func (w *World) emptied() error {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return err
	}
	ours := map[string]bool{"serving.lock": true, "attached.lock": true, "machine": true, "offsite": true, "detached": true,
		"devices.json": true, "pve": true, "unifi": true, "onedrive": true,
		"faults.json": true, "world.json.new": true, "devices.json.new": true}
	for _, e := range entries {
		if !ours[e.Name()] {
			return fmt.Errorf("the folder holds %s and no world: give the lab a folder of its own", e.Name())
		}
	}
	for _, name := range []string{"machine", "offsite", "detached", "pve", "unifi", "onedrive"} {
		if err := os.RemoveAll(filepath.Join(w.dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// tokens are the API tokens of a new world.
func tokens() map[string]*proxmox.Token {
	return map[string]*proxmox.Token{
		TokenID: {Secret: tokenSecret(TokenID), ACL: map[string][]string{"/": {
			"Sys.Audit", "VM.Audit", "VM.Backup", "Datastore.Audit", "Datastore.AllocateSpace",
			"VM.Allocate", "VM.PowerMgmt", "VM.Config.Network", "VM.Config.Options", "VM.Config.CPU", "VM.Config.Memory",
			"VM.GuestAgent.Audit", "SDN.Use", "SDN.Audit", "Pool.Audit",
		}}},
		TokenIDNoRights: {Secret: tokenSecret(TokenIDNoRights)},
		TokenIDRoot:     {Secret: tokenSecret(TokenIDRoot), Root: true},
	}
}

// Close ends the servers and abandons all work where it stands, as a crash
// would; Open goes on with it.
func (w *World) Close() error {
	var errs []error
	if w.lock != nil {
		errs = append(errs, w.handOver())
	}
	w.stop()
	if w.cluster != nil {
		errs = append(errs, w.cluster.Close())
	}
	w.work.Wait()
	w.mu.Lock() // a client may still dial
	defer w.mu.Unlock()
	errs = append(errs, w.detach())
	if w.lock != nil {
		if err := os.Remove(w.servingPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		errs = append(errs, w.lock.Close())
		w.lock = nil
	}
	return errors.Join(errs...)
}

// Root is the folder that stands for "/" of the machine on which runner runs.
// It holds media/offline-a and media/offline-b (USB disks) and srv/copies.
func (w *World) Root() string { return filepath.Join(w.dir, "machine") }

// Node is the Proxmox VE node as a machine: what its SSH server runs.
func (w *World) Node() *host.Machine {
	return &host.Machine{Name: "pve1.lab", Root: filepath.Join(w.clusterDir(), "nodes", "pve1"), Faults: w.faults, Now: w.opts.now,
		Sleep: w.opts.sleep}
}

// Fault is one thing that goes wrong; the package comment has the table.
type Fault = fault.Fault

// Inject replaces all faults of the world. Without arguments nothing goes
// wrong any more. One that could never happen is refused.
func (w *World) Inject(faults ...Fault) error {
	for _, f := range faults {
		if err := check(f); err != nil {
			return err
		}
	}
	return w.faults.Replace(faults)
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
