package proxmox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"time"

	_ "time/tzdata" // node times are local times, also on a host without zone data

	"github.com/neosofia/runner/builtins/lab/fault"
)

// Config says where a cluster lives and how it meets the world.
type Config struct {
	Dir    string     // folder of the cluster: one folder per node below nodes/
	Faults *fault.Set // never nil
	Now    func() time.Time
	Sleep  func(ctx context.Context, d time.Duration) error

	// AuthDelay is how long a refused login waits; the real one is 3 s.
	AuthDelay time.Duration
	// Fingerprint of the certificate, as GET /nodes shows it.
	Fingerprint string
}

// Cluster is one simulated Proxmox VE site of one or more nodes.
type Cluster struct {
	dir    string
	cfg    Config
	schema *apiSchema
	zone   *time.Location

	ctx  context.Context // ends with Close; carries no values
	stop context.CancelFunc
	work sync.WaitGroup

	mu    sync.Mutex               // guards the files of the cluster within this process
	dumps map[string]chan struct{} // by node; guarded by taskMu

	taskMu sync.Mutex
	tasks  map[string]*task
	next   int64 // pid of the next task
}

// state is the file cluster.json: what a real cluster keeps outside of the
// configuration files.
type state struct {
	Nodes    []string                 `json:"nodes"`
	Name     string                   `json:"name,omitempty"` // of the cluster; empty on a node without one
	Guests   map[int]guestState       `json:"guests"`
	Storages map[string]*Storage      `json:"storages"`
	Tokens   map[string]*Token        `json:"tokens"`
	Jobs     []map[string]any         `json:"jobs,omitempty"` // GET /cluster/backup
	Pools    map[string][]int         `json:"pools,omitempty"`
	Locks    map[int]map[string]int64 `json:"locks,omitempty"` // locks that end by themselves: name and unix time
}

type guestState struct {
	Running bool   `json:"running"`
	Since   int64  `json:"since,omitempty"` // unix time of the start
	Agent   string `json:"agent,omitempty"` // "up", "down"; empty: as the configuration says and the guest runs
}

// Storage is one entry of storage.cfg and what is wrong with it.
type Storage struct {
	Type      string `json:"type"`
	Path      string `json:"path"` // on the node
	Content   string `json:"content"`
	Prune     string `json:"prune,omitempty"`
	Shared    bool   `json:"shared,omitempty"`
	Disabled  bool   `json:"disabled,omitempty"`
	Unmounted bool   `json:"unmounted,omitempty"` // is_mountpoint, and nothing is mounted
}

// Token is one API token with the privileges that it has on each path. The
// longest path that covers an object counts, as with propagated ACL entries.
type Token struct {
	Secret string              `json:"secret"`
	Root   bool                `json:"root,omitempty"` // of root@pam without privilege separation
	ACL    map[string][]string `json:"acl,omitempty"`
}

// Open opens the cluster that lives in cfg.Dir, which Create made.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	c, err := newCluster(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := c.loadTasks(); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// Attach opens the cluster for its files alone: another process serves it and
// does its work.
func Attach(ctx context.Context, cfg Config) (*Cluster, error) {
	return newCluster(ctx, cfg)
}

func newCluster(ctx context.Context, cfg Config) (*Cluster, error) {
	schema, err := loadSchema()
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return nil, fmt.Errorf("load time zone of the node: %w", err)
	}
	c := &Cluster{
		dir: cfg.Dir, cfg: cfg, schema: schema, zone: zone,
		dumps: map[string]chan struct{}{}, tasks: map[string]*task{}, next: 1000,
	}
	c.ctx, c.stop = context.WithCancel(context.WithoutCancel(ctx))
	return c, nil
}

// Close abandons all work where it stands, as a crash would, and returns when
// nothing runs any more. Open goes on with it.
func (c *Cluster) Close() error {
	c.stop()
	c.work.Wait()
	return nil
}

func (c *Cluster) statePath() string { return filepath.Join(c.dir, "cluster.json") }

func (c *Cluster) state() (*state, error) {
	s := &state{Guests: map[int]guestState{}, Storages: map[string]*Storage{}, Tokens: map[string]*Token{}}
	if err := readJSON(c.statePath(), s); err != nil {
		return nil, err
	}
	if s.Locks == nil {
		s.Locks = map[int]map[string]int64{}
	}
	return s, nil
}

// change edits cluster.json.
func (c *Cluster) change(edit func(*state) error) error {
	return c.locked(func() error {
		s, err := c.state()
		if err != nil {
			return err
		}
		if err := edit(s); err != nil {
			return err
		}
		return writeJSON(c.statePath(), s)
	})
}

// node returns the path on the machine of what the node calls path.
func (c *Cluster) node(name, path string) string {
	return filepath.Join(c.dir, "nodes", name, path)
}

// nodes lists the cluster's nodes, sorted.
func (s *state) nodes() []string {
	out := append([]string(nil), s.Nodes...)
	sort.Strings(out)
	return out
}

func (s *state) hasNode(name string) bool {
	for _, n := range s.Nodes {
		if n == name {
			return true
		}
	}
	return false
}

// AddNode makes a further node, online and without guests. The site becomes a
// cluster by it.
func (c *Cluster) AddNode(name string) error {
	if !nodePattern.MatchString(name) {
		return fmt.Errorf("add node %q: not a node name", name)
	}
	return c.change(func(s *state) error {
		if s.hasNode(name) {
			return fmt.Errorf("add node %q: it exists", name)
		}
		s.Nodes = append(s.Nodes, name)
		if s.Name == "" {
			s.Name = "lab"
		}
		return c.makeNode(name, s)
	})
}

func (c *Cluster) makeNode(name string, s *state) error {
	dirs := []string{"etc/pve/nodes/" + name + "/qemu-server", "etc/pve/nodes/" + name + "/lxc", "etc/pve/firewall", "var/log/pve/tasks",
		"var/tmp"}
	for _, st := range s.Storages {
		dirs = append(dirs, st.Path+"/dump", st.Path+"/images")
	}
	for _, d := range dirs {
		if err := os.MkdirAll(c.node(name, d), 0o755); err != nil {
			return err
		}
	}
	return nil
}
