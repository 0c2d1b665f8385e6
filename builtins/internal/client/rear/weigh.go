package rear

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
)

// weigh collects what is kept.
type weigh struct {
	f       *Facts
	p       *Plan
	mounts  map[string][]chain
	root    map[string]bool // devices and groups that the system itself lies on
	byStore map[string]bool // storages that share a disk with the system
}

// system finds what the running system lies on, down to the disks. A recovery
// partitions those anew: whatever else lies on them is lost, named or not.
func (w *weigh) system() {
	w.root, w.byStore = map[string]bool{}, map[string]bool{}
	for _, m := range []string{"/", "/boot", "/boot/efi", "/efi", "/usr", "/var", "/etc", "[SWAP]"} {
		for _, c := range w.mounts[m] {
			w.need(c)
		}
	}
	for grew := true; grew; { // groups that reach over further disks
		grew = false
		each(w.f.Devices, nil, func(c chain) {
			if g := groupOf(c.last()); w.root[g] && !w.systems(c) {
				w.need(c)
				grew = true
			}
		})
	}
}

func (w *weigh) need(c chain) {
	for _, d := range c {
		w.root[d.Path] = true
		if g := groupOf(d); g != "" {
			w.root[g] = true
		}
		if d.FSType == "crypto_LUKS" && !slices.Contains(w.p.LUKS, d.Path) {
			w.p.LUKS = append(w.p.LUKS, d.Path)
		}
	}
	if !w.systems(c) {
		w.p.Disks = append(w.p.Disks, c[0].Path)
	}
}

// systems reports whether a device lies on a disk of the system.
func (w *weigh) systems(c chain) bool { return slices.Contains(w.p.Disks, c[0].Path) }

// groupOf is the volume group of a logical volume: "/dev/pve".
func groupOf(d Device) string {
	if d.Type != "lvm" {
		return ""
	}
	group, _, ok := strings.Cut(strings.ReplaceAll(d.Name, "--", "\x00"), "-")
	if !ok {
		return ""
	}
	return "/dev/" + strings.ReplaceAll(group, "\x00", "-")
}

func (w *weigh) keep(name, why, of string) {
	for i, k := range w.p.Kept {
		if k.Name == name {
			if !strings.Contains(k.Why, why) {
				w.p.Kept[i].Why += ", " + why
			}
			if of == "copies" {
				w.p.Kept[i].Of = of
			}
			return
		}
	}
	w.p.Kept = append(w.p.Kept, Kept{Name: name, Why: why, Of: of})
}

func (w *weigh) keepGroup(group, why, of string) {
	w.keep(group, why, of)
	if !slices.Contains(w.p.Groups, group) {
		w.p.Groups = append(w.p.Groups, group)
	}
}

// place keeps everything below one mount point: the mount, its volume group, the
// container, the disk. It reports that nothing can be kept, because the system
// lies on the same disk.
func (w *weigh) place(mount string, chains []chain, why, of string) (shared bool) {
	if slices.ContainsFunc(chains, w.systems) {
		return true
	}
	if mount != "" {
		w.keep(mount, why, of)
	}
	for _, c := range chains {
		for _, d := range c {
			if g := groupOf(d); g != "" {
				w.keepGroup(g, why, of)
			}
			w.keep(d.Path, why, of)
		}
	}
	return false
}

// target leaves out what holds copies.
func (w *weigh) target(t Held) error {
	why := "target " + t.Target
	var bad chain
	shown := map[string]bool{}
	each(w.f.Devices, nil, func(c chain) {
		d := c.last()
		if t.UUID != "" && d.UUID == t.UUID || t.Serial != "" && d.Serial == t.Serial {
			shown[d.Path] = true
			if w.place(firstMount(d), []chain{c}, why, "copies") {
				bad = c
			}
		}
	})
	mount, chains := under(w.mounts, t.Path)
	if (t.UUID != "" || t.Serial != "") && !slices.ContainsFunc(chains,
		func(c chain) bool { return slices.ContainsFunc(c, func(d Device) bool { return shown[d.Path] }) }) {
		mount = "" // its medium is away or not mounted: the folder is where it would be
	}
	if t.Path != "" && bad == nil && mount != "" && w.place(mount, chains, why, "copies") {
		bad = chains[0]
	}
	if bad != nil {
		return &HoldsError{Copies: true, What: fmt.Sprintf("target %s lies on the disk of the system itself (%s): a recovery erases its copies",
			t.Target, bad[0].Path),
			Hint: "give the target a disk of its own, mounted where it lies; a folder on the system's disk is not a copy"}
	}
	return nil
}

func firstMount(d Device) string {
	for _, m := range d.Mounts {
		if m != "" && m != "[SWAP]" {
			return m
		}
	}
	return ""
}

// storage leaves out what a Proxmox storage lies on.
func (w *weigh) storage(s Storage) {
	why := "storage " + s.ID
	switch s.Type {
	case "lvm", "lvmthin":
		w.byStore[s.ID] = w.group("/dev/"+s.Set["vgname"], why)
	case "dir", "btrfs":
		mount, chains := under(w.mounts, s.Set["path"])
		if w.byStore[s.ID] = mount != "" && w.place(mount, chains, why, "guests"); w.byStore[s.ID] {
			for _, sub := range []string{"images", "private", "dump"} { // disks of guests and their archives come back from their own copies
				w.p.Skip = append(w.p.Skip, path.Join(s.Set["path"], sub))
			}
		}
	case "zfspool":
		pool, _, _ := strings.Cut(s.Set["pool"], "/")
		w.byStore[s.ID] = w.members(pool, why)
	}
}

// group leaves a volume group out with the disks that it lies on, or reports that
// it shares one with the system.
func (w *weigh) group(group, why string) (shared bool) {
	var all []chain
	each(w.f.Devices, nil, func(c chain) {
		if groupOf(c.last()) == group {
			all = append(all, c)
		}
	})
	if w.root[group] || w.place("", all, why, "guests") {
		return true
	}
	w.keepGroup(group, why, "guests")
	return false
}

// members leaves out the members of a ZFS pool, known by their label.
func (w *weigh) members(pool, why string) (shared bool) {
	each(w.f.Devices, nil, func(c chain) {
		if d := c.last(); d.FSType == "zfs_member" && d.Label == pool && w.place("", []chain{c}, why, "guests") {
			shared = true
		}
	})
	return shared
}

// guest leaves a volume of a guest out, or names the guest among those that a
// recovery erases.
func (w *weigh) guest(g Guest, volume string) {
	store, rest, ok := strings.Cut(volume, ":")
	switch {
	case strings.HasPrefix(volume, "/dev/"):
		each(w.f.Devices, nil, func(c chain) {
			if c.last().Path == path.Clean(volume) && w.place(firstMount(c.last()), []chain{c}, "guest "+g.String(), "guests") {
				w.share(g, c.last().Path)
			}
		})
	case strings.HasPrefix(volume, "/"):
		// A folder of the host. On the system's disk the host's own archive holds it.
		if mount, chains := under(w.mounts, volume); mount != "" {
			w.place(mount, chains, "guest "+g.String(), "guests")
		}
	case ok && w.byStore[store] && rest != "":
		w.share(g, w.placeOf(store))
	}
}

// share names a guest among those that a recovery erases.
func (w *weigh) share(g Guest, place string) {
	if !slices.Contains(w.p.SharedIDs, g.ID) {
		w.p.SharedIDs, w.p.Shared = append(w.p.SharedIDs, g.ID), append(w.p.Shared, g.String())
	}
	if !slices.Contains(w.p.Erases, place) {
		w.p.Erases = append(w.p.Erases, place)
	}
}

// placeOf is where a storage lies: a volume group, a folder, a pool.
func (w *weigh) placeOf(store string) string {
	for _, s := range w.f.Storages {
		switch {
		case s.ID != store:
		case s.Set["vgname"] != "":
			return "/dev/" + s.Set["vgname"]
		case s.Set["path"] != "":
			return s.Set["path"]
		default:
			return s.Set["pool"]
		}
	}
	return store
}

// tabs leaves out what crypttab opens and fstab mounts from disks that are kept
// already, under the names that ReaR has for it.
func (w *weigh) tabs() {
	opens := map[string]bool{}
	for _, line := range parseTab(w.f.Crypttab) {
		opens["/dev/mapper/"+line[0]] = true
	}
	for _, line := range parseTab(w.f.Fstab) {
		opens[line[1]] = true
	}
	of := map[string]Kept{}
	for _, k := range w.p.Kept {
		of[k.Name] = k
	}
	each(w.f.Devices, nil, func(c chain) {
		k, kept := of[c[0].Path]
		if !kept {
			return
		}
		for _, name := range append([]string{c.last().Path}, c.last().Mounts...) {
			if opens[name] {
				w.keep(name, k.Why, k.Of)
			}
		}
		if m := firstMount(c.last()); m != "" && of[m].Name == "" {
			w.p.Missing = append(w.p.Missing, m)
		}
	})
}

// others adds the disks besides the system's that ReaR makes anew: those that
// anything else is mounted from, and is not kept.
func (w *weigh) others(stick string) {
	kept := map[string]bool{}
	for _, k := range w.p.Kept {
		kept[k.Name] = true
	}
	add := func(c chain) bool {
		if c[0].Type != "disk" || c[0].Path == stick || w.systems(c) ||
			slices.ContainsFunc(c, func(d Device) bool { return kept[d.Path] || kept[groupOf(d)] }) {
			return false
		}
		w.need(c)
		return true
	}
	each(w.f.Devices, nil, func(c chain) {
		if m := firstMount(c.last()); m != "" && !kept[m] {
			add(c)
		}
	})
	for grew := true; grew; { // groups that reach over further disks
		grew = false
		each(w.f.Devices, nil, func(c chain) {
			if g := groupOf(c.last()); g != "" && w.root[g] && add(c) {
				grew = true
			}
		})
	}
}

func (w *weigh) sort() {
	sort.SliceStable(w.p.Kept, func(i, j int) bool { return w.p.Kept[i].Name < w.p.Kept[j].Name })
	sort.Strings(w.p.Disks)
	sort.Strings(w.p.Erases)
}
