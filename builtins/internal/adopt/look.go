package adopt

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/guests"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// archive is one that is not counted yet.
type archive struct {
	proxmox.Volume
	target string
	sys    *site.Proxmox
	c      *proxmox.Client
	node   string
	shared bool // the storage is the same on every node
	busy   []proxmox.Task
	guest  guests.Guest
	run    string // of the token in its notes; "": it is foreign
	step   string
}

func (f *archive) storage() string { name, _, _ := strings.Cut(f.VolID, ":"); return name }

func (f *archive) created() time.Time { return time.Unix(int64(f.CTime), 0).UTC() }

// guestType is what an archive's name says: "qemu" or "lxc".
func (f *archive) guestType() string {
	if strings.Contains(f.VolID, ":backup/vzdump-lxc-") {
		return "lxc"
	}
	return "qemu"
}

func (f *archive) origin() string {
	if f.run != "" {
		return "of run " + f.run + ", whose ledger is lost"
	}
	return "foreign"
}

// place is what a storage's archives are known by: on one that is shared every node shows
// the same.
func place(shared bool, node, volume string) string {
	if shared {
		node = ""
	}
	return node + "\x00" + volume
}

// ahead is how far a system's clock may be ahead before its times are not believed.
const ahead = 5 * time.Minute

// look finds the archives on the storage of a target that are not counted, and those that
// were and are gone.
func (j *job) look(ctx context.Context, t *site.Target) error {
	name, storage := t.Place.Storage()
	c, sys, err := j.w.Proxmox(ctx, name)
	if err != nil {
		return proxmox.Explain(name, "connect", err)
	}
	nodes, err := c.Online(ctx)
	if err != nil {
		return proxmox.Explain(sys.Name, "list nodes", err)
	}
	roster, err := guests.Read(ctx, j.s, c, sys)
	if err != nil {
		return err
	}
	seen := false
	for _, node := range nodes {
		st, err := stateOf(ctx, c, node, storage)
		if err != nil {
			return proxmox.Explain(sys.Name, "list the storages of "+node, err)
		}
		if st.Active == 0 || seen && st.Shared != 0 {
			continue
		}
		seen = true
		vols, err := c.Archives(ctx, node, storage, 0)
		if err != nil {
			return proxmox.Explain(sys.Name, "list archives on "+storage+" of "+node, err)
		}
		from := archive{target: t.Name, sys: sys, c: c, node: node, shared: st.Shared != 0}
		if from.busy, err = running(ctx, c, node, j.s.Now()); err != nil {
			return proxmox.Explain(sys.Name, "list what vzdump does on "+node, err)
		}
		if err := j.lookThrough(ctx, from, roster, vols); err != nil {
			return err
		}
	}
	if !seen {
		return &failure.Error{Code: proxmox.CodeStorage, System: "proxmox " + sys.Name, Doing: "look for archives on storage " + storage,
			Said: "it is disabled, not mounted, or not shown to the token, on every node",
			Hint: "pvesm status on a node shows it"}
	}
	return nil
}

func stateOf(ctx context.Context, c *proxmox.Client, node, storage string) (proxmox.Storage, error) {
	list, err := c.Storages(ctx, node)
	if err != nil {
		return proxmox.Storage{}, err
	}
	for _, st := range list {
		if st.Name == storage {
			return st, nil
		}
	}
	return proxmox.Storage{}, nil
}

// running are the tasks of vzdump that have not ended. No job lasts a week.
func running(ctx context.Context, c *proxmox.Client, node string, now time.Time) (out []proxmox.Task, err error) {
	list, err := c.Tasks(ctx, node, "vzdump", 0, now.Add(-7*24*time.Hour))
	for _, t := range list {
		if t.End == 0 {
			out = append(out, t)
		}
	}
	return out, err
}

// lookThrough sorts what a storage lists on a node.
func (j *job) lookThrough(ctx context.Context, from archive, roster *guests.Roster, vols []proxmox.Volume) error {
	counted, err := j.counted(ctx, from)
	if err != nil {
		return err
	}
	left := &leftOut{}
	listed := map[string]bool{}
	for _, v := range vols {
		f := from
		f.Volume = v
		key := place(f.shared, f.node, v.VolID)
		listed[key] = true
		switch had, known := counted[key]; {
		case known && had.Borrowed() && had.Level < ledger.Stored:
			left.add("was found damaged before, or is not proven: verify(copies = copies(target = …)) reads it again", v.VolID)
		case known:
		default:
			if err := j.sort(ctx, &f, roster, left); err != nil {
				return err
			}
		}
	}
	left.tell(j, from.target)
	return j.vanished(ctx, from, counted, listed)
}

// counted are the copies in place on a target, as far as they lie on this node.
func (j *job) counted(ctx context.Context, from archive) (map[string]ledger.Proven, error) {
	copies, err := j.catalog.ProvenCopies(ctx, ledger.Query{Target: from.target})
	if err != nil {
		return nil, err
	}
	out := map[string]ledger.Proven{}
	for _, cp := range copies {
		art, found, err := j.catalog.Artifact(ctx, cp.Artifact)
		if err != nil {
			return nil, err
		}
		if found && cp.InPlace && art.Origin.System == from.sys.Name && (from.shared || art.Origin.Node == from.node) {
			out[place(from.shared, art.Origin.Node, cp.Ref)] = cp
		}
	}
	return out, nil
}

// vanished notes what adopt counted and what is not there any more. The list leaves out
// what the token may not see: each is asked for.
func (j *job) vanished(ctx context.Context, from archive, counted map[string]ledger.Proven, listed map[string]bool) error {
	for key, cp := range counted {
		if listed[key] || !cp.Borrowed() {
			continue // prune and snapshot_vm look for runner's own
		}
		gone, err := j.w.Gone(ctx, j.s, cp.Copy)
		if err != nil {
			return err
		}
		if gone {
			systems.Vanish(j.s, cp.Copy, &j.res.Facts)
		}
	}
	return nil
}

// sort finds out whose an archive is.
func (j *job) sort(ctx context.Context, f *archive, roster *guests.Roster, left *leftOut) error {
	id := proxmox.VMIDIn(f.VolID)
	if id == 0 {
		return nil // not vzdump's
	}
	if run, step, ok := ledger.TokenIn(f.Notes); ok {
		known, err := ledger.One(ctx, j.catalog, ledger.Query{Kind: ledger.RowRun, ID: run}, new(ledger.Run))
		if err != nil || known {
			return err // prune settles what this ledger's runs left
		}
		f.run, f.step = run, step
	}
	var known bool
	for _, g := range roster.Guests {
		if g.VMID == id && g.Type == f.guestType() {
			f.guest, known = g, true
		}
	}
	_, excused := j.w.Site.Demands.Excused(f.guest.Item, j.s.Now())
	switch {
	case !known:
		left.add("is of a guest that the cluster does not have, or does not show", f.VolID)
	case excused:
	case f.guest.Asset == "":
		left.add("is of a guest that belongs to no asset of the site", f.VolID)
	case f.created().After(j.s.Now().Add(ahead)):
		j.find(ledger.DegradedRun, f, fmt.Sprintf("%s is dated %s, which is in the future: it is not counted; compare the clocks of this host "+
			"and of %s (timedatectl)", f.VolID, f.created().Format("2006-01-02 15:04 UTC"), f.node))
	default:
		j.found = append(j.found, f)
	}
	return nil
}

// leftOut is archives that are not counted, by the reason.
type leftOut struct {
	why  []string
	what map[string][]string
}

func (l *leftOut) add(why, volume string) {
	if l.what == nil {
		l.what = map[string][]string{}
	}
	if len(l.what[why]) == 0 {
		l.why = append(l.why, why)
	}
	l.what[why] = append(l.what[why], volume)
}

func (l *leftOut) tell(j *job, target string) {
	for _, why := range l.why {
		list := l.what[why]
		more := ""
		if len(list) > 5 {
			more = fmt.Sprintf(", and %d more", len(list)-5)
		}
		j.s.Log("%s: not counted: %s%s %s", target, strings.Join(list[:min(5, len(list))], ", "), more, why)
	}
}

// owner says whether an archive with this configuration is of the guest that has its VMID
// now; why is what speaks against it.
func (f *archive) owner(ctx context.Context, config map[string]string) (why string, err error) {
	name := config[map[string]string{"qemu": "name", "lxc": "hostname"}[f.guestType()]]
	if name == "" || name == f.guest.Name || name == f.guest.Item {
		return "", nil
	}
	now, err := f.c.GuestConfig(ctx, f.guest.Guest)
	if err != nil {
		return "", proxmox.Explain(f.sys.Name, "read the configuration of "+f.guest.Item, err)
	}
	was, is := guests.Identity(f.guestType(), config), guests.Identity(f.guestType(), now)
	if was == "" || is == "" || guests.Same(was, is) {
		return "", nil
	}
	return fmt.Sprintf("is of another guest, %s, that had the VMID of %s before", name, f.guest.Item), nil
}

// config reads the guest's configuration inside an archive; nil where Proxmox cannot: then
// opening the archive shows what is wrong with it.
func (j *job) config(ctx context.Context, f *archive) (map[string]string, error) {
	text, err := f.c.ArchiveConfig(ctx, f.node, f.VolID)
	var api *proxmox.Error
	if errors.As(err, &api) && api.Status == 500 {
		j.s.Log("%s: Proxmox reads no configuration in it: %s", f.VolID, api.Error())
		return nil, nil
	}
	if err != nil {
		return nil, proxmox.Explain(f.sys.Name, "read the configuration in "+f.VolID, err)
	}
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "[") {
			break // snapshots follow
		}
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ": "); ok && !strings.HasPrefix(key, "#") {
			out[key] = value
		}
	}
	return out, nil
}
