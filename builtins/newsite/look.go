// Package newsite writes the first site.star and policies of a machine, from what it finds
// there: whether it is a Proxmox VE node, what could be saved, and which disks copies could
// go to. It reads only, and asks nobody but the machine; what it cannot know stands as a
// comment, or in the list of what is left to do.
package newsite

import (
	"context"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/runtime/ledger"
)

// Wish is what the operator says of the new site.
type Wish struct {
	Save    []string // folders and files to save
	To      []string // folders that hold copies
	Without []string // parts that were found and are not wanted: firewall, journal, rear, proxmox
	Dir     string   // where the files will be
	Program string   // runner's own path
	Root    bool     // runner runs as root there
	Device  func(path string) (ledger.Device, error)
}

// Parts are what can be left out.
var Parts = []string{"proxmox", "rear", "firewall", "journal"}

// Machine is what was found.
type Machine struct {
	Name      string   `json:"name"`
	Proxmox   *Node    `json:"proxmox,omitempty"`
	Rear      bool     `json:"rear"`
	Firewall  bool     `json:"firewall"`
	Journal   bool     `json:"journal"`
	Disks     []Disk   `json:"disks"`     // that are mounted and are not the system's
	Unmounted []Disk   `json:"unmounted"` // by their device; nobody uses them
	Save      []Place  `json:"save"`      // what the operator named
	To        []Place  `json:"to"`
	Notes     []string `json:"notes"` // what could not be found out
	wish      Wish
	system    ledger.Device // of /
}

// Place is a path and the disk below it.
type Place struct {
	Path   string        `json:"path"`
	Device ledger.Device `json:"device"`
}

// Disk is a file system that copies could go to.
type Disk = Place

// Node is a node of a Proxmox VE cluster.
type Node struct {
	Name        string    `json:"name"`
	Nodes       []string  `json:"nodes"`
	Fingerprint string    `json:"fingerprint"`
	Guests      []string  `json:"guests"`
	Storages    []Storage `json:"storages"` // that take backups
	Jobs        []string  `json:"jobs"`     // Proxmox's own
}

// Storage is a storage that takes backups.
type Storage struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Path string `json:"path,omitempty"`
}

// LookAround looks at the machine that it runs on.
func LookAround(ctx context.Context, w Wish) (*Machine, error) {
	return Look(ctx, host.Local("here"), w)
}

// Look looks at a machine.
func Look(ctx context.Context, h host.Host, w Wish) (*Machine, error) {
	m := &Machine{wish: w}
	m.Name = name(m.read(ctx, h, "/etc/hostname"), "here")
	for _, part := range w.Without {
		if !slices.Contains(Parts, part) {
			return nil, fmt.Errorf("%q cannot be left out: want %s", part, strings.Join(Parts, ", "))
		}
	}
	if !m.without("proxmox") {
		m.node(ctx, h)
	}
	m.Rear = !m.without("rear") && m.has(ctx, h, "rear")
	m.Firewall = !m.without("firewall") && w.Root && m.has(ctx, h, "nft") && m.has(ctx, h, "ip")
	m.Journal = !m.without("journal") && w.Root && m.has(ctx, h, "journalctl") &&
		(m.there(ctx, h, "/var/log/journal") || m.there(ctx, h, "/run/log/journal"))
	m.disks(ctx, h)
	m.unmounted(ctx, h)
	for _, list := range []struct {
		paths []string
		flag  string
		to    *[]Place
	}{{w.Save, "--save", &m.Save}, {w.To, "--to", &m.To}} {
		for _, p := range list.paths {
			if !path.IsAbs(p) {
				return nil, fmt.Errorf("%s %s: want an absolute path", list.flag, p)
			}
			p = path.Clean(p)
			info, err := h.Stat(ctx, p)
			if err == nil && list.flag == "--to" && !info.IsDir() {
				err = errors.New("it is not a folder")
			}
			if errors.Is(err, fs.ErrNotExist) {
				err = errors.New("it is not there: mount its disk, or make it")
			}
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", list.flag, p, err)
			}
			d, err := w.Device(p)
			if err != nil {
				m.note("the disk below %s is not known: %v", p, err)
			}
			*list.to = append(*list.to, Place{p, d})
		}
	}
	return m, m.enough()
}

// enough says what a site needs at least.
func (m *Machine) enough() error {
	switch {
	case m.Proxmox == nil && len(m.Save) == 0:
		return errors.New("this is no Proxmox VE node: name what is to be saved, --save PATH, and where copies go, --to DIR")
	case len(m.To) == 0 && (m.Proxmox == nil || len(m.Proxmox.Storages) == 0 || len(m.Save) > 0):
		list := "no other disk is mounted here"
		for i, d := range m.Disks {
			if i == 0 {
				list = "mounted here:"
			}
			list += "\n  --to " + d.Path + "  " + about(d.Device)
		}
		for _, d := range m.Unmounted {
			list += "\nnot mounted: " + d.Path + "  " + about(d.Device)
		}
		return errors.New("name a folder that copies go to, --to DIR, on another disk than what is saved; " + list)
	}
	return nil
}

func (m *Machine) without(part string) bool { return slices.Contains(m.wish.Without, part) }

func (m *Machine) note(format string, args ...any) {
	m.Notes = append(m.Notes, fmt.Sprintf(format, args...))
}

func (m *Machine) there(ctx context.Context, h host.Host, path string) bool {
	_, err := h.Stat(ctx, path)
	return err == nil
}

func (m *Machine) has(ctx context.Context, h host.Host, program string) bool {
	for _, dir := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"} {
		if m.there(ctx, h, dir+"/"+program) {
			return true
		}
	}
	return false
}

// read reads a small file; "" when it is not there.
func (m *Machine) read(ctx context.Context, h host.Host, path string) string {
	raw, err := host.ReadFile(ctx, h, path, 4<<20)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.note("%s could not be read: %v", path, err)
	}
	return string(raw)
}

// list lists a folder; nothing when it is not there.
func (m *Machine) list(ctx context.Context, h host.Host, dir string) (names []string) {
	infos, err := h.List(ctx, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.note("%s could not be listed: %v", dir, err)
	}
	for _, i := range infos {
		names = append(names, i.Name())
	}
	return names
}

// node reads what a node of Proxmox VE has in /etc/pve.
func (m *Machine) node(ctx context.Context, h host.Host) {
	nodes := m.list(ctx, h, "/etc/pve/nodes")
	if len(nodes) == 0 {
		return
	}
	n := &Node{Name: m.Name, Nodes: nodes}
	if !slices.Contains(nodes, m.Name) {
		m.note("this machine is called %s, and /etc/pve/nodes has %s", m.Name, strings.Join(nodes, ", "))
		n.Name = nodes[0]
	}
	m.Proxmox = n
	for _, file := range []string{"pveproxy-ssl.pem", "pve-ssl.pem"} {
		if block, _ := pem.Decode([]byte(m.read(ctx, h, "/etc/pve/nodes/"+n.Name+"/"+file))); block != nil && n.Fingerprint == "" {
			n.Fingerprint = strings.ReplaceAll(fmt.Sprintf("% X", sha256.Sum256(block.Bytes)), " ", ":")
		}
	}
	for _, node := range nodes {
		for _, kind := range []string{"qemu-server", "lxc"} {
			for _, file := range m.list(ctx, h, "/etc/pve/nodes/"+node+"/"+kind) {
				if id, ok := strings.CutSuffix(file, ".conf"); ok {
					n.Guests = append(n.Guests, guestName(m.read(ctx, h, "/etc/pve/nodes/"+node+"/"+kind+"/"+file), id))
				}
			}
		}
	}
	sort.Strings(n.Guests)
	for _, s := range sections(m.read(ctx, h, "/etc/pve/storage.cfg")) {
		if content := s.options["content"]; slices.Contains(strings.Split(content, ","), "backup") && !s.has("disable") {
			n.Storages = append(n.Storages, Storage{s.name, s.kind, s.options["path"]})
		}
	}
	for _, s := range sections(m.read(ctx, h, "/etc/pve/jobs.cfg")) {
		if s.kind == "vzdump" {
			n.Jobs = append(n.Jobs, fmt.Sprintf("%s: %s to %s", s.name, s.options["schedule"], s.options["storage"]))
		}
	}
}

var guestLine = regexp.MustCompile(`(?m)^(?:name|hostname): *(\S+)`)

// guestName is the name that a guest's configuration gives it, above its snapshots.
func guestName(conf, id string) string {
	conf, _, _ = strings.Cut(conf, "\n[")
	if f := guestLine.FindStringSubmatch(conf); f != nil {
		return f[1]
	}
	return id
}

// section is one of Proxmox's configuration files: "TYPE: NAME" and indented options.
type section struct {
	kind, name string
	options    map[string]string
}

func (s section) has(option string) bool { _, ok := s.options[option]; return ok }

func sections(text string) (out []section) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		indented := strings.HasPrefix(line, "\t") || strings.HasPrefix(line, " ")
		switch kind, rest, ok := strings.Cut(line, ":"); {
		case line == "" || line[0] == '#':
		case !indented && ok:
			out = append(out, section{kind, strings.TrimSpace(rest), map[string]string{}})
		case indented && len(out) > 0:
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			out[len(out)-1].options[key] = strings.TrimSpace(value)
		}
	}
	return out
}

// notForCopies are mounts of the system itself, and names that mountinfo escapes.
var notForCopies = regexp.MustCompile(`^/boot|^/etc/|\\`)

// disks are the file systems of disks that are not the system's: the last mount of each.
func (m *Machine) disks(ctx context.Context, h host.Host) {
	var err error
	if m.system, err = m.wish.Device("/"); err != nil {
		m.note("the disk of / is not known: %v", err)
	}
	seen := map[string]bool{m.system.UUID: true}
	for line := range strings.Lines(m.read(ctx, h, "/proc/self/mountinfo")) {
		front, back, ok := strings.Cut(line, " - ")
		f, b := strings.Fields(front), strings.Fields(back)
		if !ok || len(f) < 5 || len(b) < 2 || !strings.HasPrefix(b[1], "/dev/") || notForCopies.MatchString(f[4]) {
			continue
		}
		if d, err := m.wish.Device(f[4]); err == nil && d.UUID != "" && !seen[d.UUID] {
			seen[d.UUID] = true
			m.Disks = append(m.Disks, Disk{f[4], d})
		}
	}
}

// about is what people know a disk by.
func about(d ledger.Device) string {
	var parts []string
	for _, p := range [][2]string{{"", d.FS}, {"label ", d.Label}, {"UUID ", d.UUID}, {"serial ", d.Serial}} {
		if p[1] != "" {
			parts = append(parts, p[0]+p[1])
		}
	}
	return strings.Join(parts, ", ")
}

var notName = regexp.MustCompile(`[^a-z0-9]+`)

// name makes a name that a site can use out of any text.
func name(text, instead string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), ".")
	if text = strings.Trim(notName.ReplaceAllString(strings.ToLower(text), "-"), "-"); text == "" {
		return instead
	}
	return text
}
