package rear

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/layout"
	"github.com/neosofia/runner/runtime/failure"
)

// Options are what the policy asks for.
type Options struct {
	Artifact     string   // id: names the folders
	Dir          string   // folder on the host where images are made; absolute
	Output       string   // "iso" or "usb"
	Backup       string   // "iso" (the archive lies in the image), "file" (beside it), "usb"
	Differential string   // name of the chain's folder; "" for an archive of its own
	Full         bool     // the chain begins with this one
	Stick        Stick    // of USB output
	Encrypted    bool     // ReaR encrypts the archive with a key that it is given at the run
	Serial       bool     // serial console
	Unattended   bool     // recovery starts by itself, when the disk is empty
	Exclude      []string // folders that the archive leaves out besides
	Kernel       string   // version, where it is not the running one
	Settings     []string // further lines of local.conf
}

// Kept is something that the image leaves alone.
type Kept struct {
	Name string `json:"name"` // device, volume group ("/dev/pve") or mount point
	Why  string `json:"why"`  // "target usb", "storage local-lvm", "guest 100 (erp)"
	Of   string `json:"of"`   // "copies" or "guests"
}

// Plan is what an image will hold and leave out. It lies in the artifact, and
// Inspect holds the image to it.
type Plan struct {
	Host       string   `json:"host"`
	Output     string   `json:"output"`
	Backup     string   `json:"backup"`
	Kept       []Kept   `json:"kept"`             // left out, by name
	Groups     []string `json:"groups,omitempty"` // those of Kept that are volume groups
	Shared     []string `json:"shared"`           // guests that a recovery erases: they share the root's volume group or file system
	SharedIDs  []string `json:"shared_ids"`
	Erases     []string `json:"erases"`            // what of theirs cannot be left out: "/dev/pve"
	Disks      []string `json:"disks"`             // that a recovery makes anew
	Missing    []string `json:"missing,omitempty"` // mounts of the host that lie on disks that are kept: the archive does not hold them
	Skip       []string `json:"skip,omitempty"`    // folders of guests on the system's own file systems: the archive leaves them out
	Secrets    []string `json:"secrets"`
	Unattended bool     `json:"unattended,omitempty"`
	Encrypted  bool     `json:"encrypted,omitempty"`
	TPM        []string `json:"tpm,omitempty"`
	LUKS       []string `json:"luks,omitempty"` // containers that a recovery makes anew: their headers are saved
}

// Keeps reports whether the image leaves something alone because a target's copies
// lie there.
func (p *Plan) Keeps(target string) bool {
	return slices.ContainsFunc(p.Kept, func(k Kept) bool { return slices.Contains(strings.Split(k.Why, ", "), "target "+target) })
}

// HoldsError says what a recovery would erase that must stay.
type HoldsError struct {
	Copies bool // else guests
	What   string
	Hint   string
}

func (e *HoldsError) Error() string { return e.What }

// Prepare decides what an image leaves out. It is a pure function of what was
// seen on the host.
func Prepare(f *Facts, o Options) (*Plan, error) {
	p := &Plan{Host: f.Host, Output: o.Output, Backup: o.Backup, Unattended: o.Unattended, Encrypted: o.Encrypted, Secrets: f.Secrets,
		TPM: f.TPM}
	w := &weigh{f: f, p: p, mounts: f.mounts()}
	if len(w.mounts["/"]) == 0 {
		return nil, &failure.Error{Code: host.CodeFailed, Doing: "find the disk that / lies on",
			Said: "lsblk shows no device that is mounted there", Hint: "ReaR does not recover roots on ZFS or on the network: save such a host " +
				"in another way"}
	}
	w.system()
	for _, t := range f.Targets {
		if err := w.target(t); err != nil {
			return nil, err
		}
	}
	for _, s := range f.Storages {
		w.storage(s)
	}
	for _, g := range f.Guests {
		for _, v := range g.Volumes {
			w.guest(g, v)
		}
	}
	w.tabs()
	w.others(o.Stick.Disk)
	w.sort()
	if o.Unattended && len(p.Shared) > 0 {
		return nil, &HoldsError{What: "a recovery that starts by itself would erase " + strings.Join(p.Shared, ", "),
			Hint: "leave unattended out: guests share the volume group or file system of the root"}
	}
	return p, nil
}

// Untold says which device an image's active layout makes anew, or writes to, that the
// question before a recovery does not name; nil when it names them all.
func (p *Plan) Unnamed(l layout.Layout) *HoldsError {
	c, device, found := l.Unnamed(p.Disks)
	if !found {
		return nil
	}
	return &HoldsError{Copies: true, What: fmt.Sprintf("a recovery would make %s anew, and its question names only %s: %q", device,
		strings.Join(p.Disks, ", "), c.Line),
		Hint: "what lies on that device? see whether settings of the policy bring it in"}
}

// Refuse says what an image's active layout must not name and does; nil when it
// names nothing of that.
func (p *Plan) Refuse(l layout.Layout) *HoldsError {
	kept := slices.Clone(p.Kept)
	sort.SliceStable(kept, func(i, j int) bool { return kept[i].Of < kept[j].Of }) // copies are the last to lose
	for _, k := range kept {
		if found := l.Naming(k.Name); len(found) > 0 {
			return &HoldsError{Copies: k.Of == "copies", What: fmt.Sprintf("a recovery would make %s anew, which holds %s: %q", k.Name, k.Why,
				found[0].Line),
				Hint: "runner leaves it out by name; see whether settings of the policy bring it back"}
		}
	}
	if len(p.Shared) > 0 {
		return nil
	}
	for _, pool := range l.Thin() {
		return &HoldsError{What: fmt.Sprintf("a recovery would make the thin pool %s anew, empty", pool.Device),
			Hint: "whose guests lie in it? runner knew of none when it made the image"}
	}
	return nil
}
