package adopt

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/guests"
	"github.com/neosofia/runner/builtins/internal/kinds"
	"github.com/neosofia/runner/builtins/internal/snapshotvm"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// still is how long nobody may have written to an archive.
const still = time.Minute

// take digests, verifies and counts one archive. What is being written is left, and said.
func (j *job) take(ctx context.Context, f *archive) error {
	left := &leftOut{}
	defer left.tell(j, f.target)
	one, err := f.c.Archive(ctx, f.node, f.VolID)
	if proxmox.Gone(err) {
		left.add("was removed meanwhile", f.VolID)
		return nil
	}
	if err != nil {
		return proxmox.Explain(f.sys.Name, "look at "+f.VolID, err)
	}
	if f.Path = one.Path; f.Path == "" {
		folder, err := f.c.StorageFolder(ctx, f.storage())
		if err != nil {
			return proxmox.Explain(f.sys.Name, "find "+f.VolID, err)
		}
		f.Path = path.Join(folder, "dump", path.Base(f.VolID))
	}
	h, err := j.w.Node(ctx, f.sys.Name, f.node)
	if err != nil {
		return systems.NodeError(f.sys.Name, "read "+f.Path+" on "+f.node, err)
	}
	defer h.Close()
	before, err := h.Stat(ctx, f.Path)
	if err != nil {
		return systems.NodeError(f.sys.Name, "look at "+f.Path+" on "+f.node, err)
	}
	switch why, clock := f.unsettled(j.s.Now(), before); {
	case clock:
		j.find(ledger.DegradedRun, f, fmt.Sprintf("%s %s: it is not counted; compare the clocks of this host and of %s (timedatectl)", f.VolID,
			why, f.node))
		return nil
	case why != "":
		left.add(why, f.VolID)
		return nil
	}
	config, err := j.config(ctx, f)
	if err != nil {
		return err
	}
	why, err := f.owner(ctx, config)
	if err != nil {
		return err
	}
	if why != "" {
		left.add(why, f.VolID)
		return nil
	}
	art, fresh, err := j.artifact(ctx, f, h, config)
	if err != nil || art.ID == "" {
		return err
	}
	cp, proof, err := j.prove(ctx, f, art)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	after, serr := h.Stat(ctx, f.Path)
	switch {
	case errors.Is(serr, fs.ErrNotExist):
		left.add("was removed while it was read", f.VolID)
		return nil
	case serr != nil:
		return systems.NodeError(f.sys.Name, "look at "+f.Path+" on "+f.node, errors.Join(serr, err))
	case after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()):
		return &failure.Error{Code: CodeChanged, System: "proxmox " + f.sys.Name, Doing: "read " + f.Path + " on " + f.node,
			Said: fmt.Sprintf("it had %d bytes, written %s, and has %d, written %s", before.Size(), before.ModTime().UTC().Format(time.RFC3339Nano),
				after.Size(), after.ModTime().UTC().Format(time.RFC3339Nano)),
			Hint: "who writes to it? A finished archive does not change; the next run looks at it again", Cause: err}
	}
	if cp.ID != "" {
		j.record(art, cp, fresh)
	}
	if err != nil {
		return err
	}
	j.res.Facts.Proofs, j.made = append(j.res.Facts.Proofs, proof), append(j.made, art)
	j.s.Log("counted %s of %s, %s: %s", f.VolID, art.Item, f.origin(), ledger.LevelName(proof.Level))
	return nil
}

// unsettled says why an archive may still be written, or is of no known time; "" is that it
// is whole.
func (f *archive) unsettled(now time.Time, info fs.FileInfo) (why string, clock bool) {
	since := now.Sub(info.ModTime())
	for _, t := range f.busy {
		if f.CTime >= t.Start-1 { // its name has the time before the task's first line
			return "is of a vzdump that has not ended: it is looked at the next time", false
		}
	}
	switch {
	case info.Size() != f.Size:
		return fmt.Sprintf("is being written (%d bytes, then %d): it is looked at the next time", f.Size, info.Size()), false
	case since < -still:
		return fmt.Sprintf("was written in the future, %s ahead of this host's clock", (-since).Round(time.Second)), true
	case since < still:
		return "was written less than a minute ago: it is looked at the next time", false
	}
	return "", false
}

// artifact is what an archive holds; fresh, where the ledger has no record of it. It has
// no id where the archive is not the one that the token's step is known by.
func (j *job) artifact(ctx context.Context, f *archive, h host.Host, config map[string]string) (art ledger.Artifact, fresh bool, err error) {
	id := ledger.ForeignID(f.sys.Name, map[bool]string{false: f.node}[f.shared], f.VolID)
	if f.run != "" {
		id = ledger.ArtifactID(f.run, f.step)
	}
	known, recorded, err := j.catalog.Artifact(ctx, id)
	if err != nil {
		return art, false, err
	}
	origin := ledger.Origin{System: f.sys.Name, Node: f.node, Storage: f.storage(), Volume: f.VolID, Path: f.Path,
		Number: fmt.Sprint(f.guest.VMID), Type: f.guestType(), Name: cmp.Or(configName(f, config), f.guest.Name),
		Identity: guests.Identity(f.guestType(), config)}
	if j.taken[id] || recorded && !isOf(known, f) {
		j.s.Log("%s: not counted: %s is another attempt of the same step of run %s", f.target, f.VolID, f.run)
		return art, false, nil
	}
	if j.taken[id] = true; recorded { // a manifest does not say where the archive lies
		fresh = known.Origin.Volume == ""
		known.Origin = origin
		return known, fresh, nil
	}
	lines, err := j.log(ctx, f, h)
	if err != nil {
		return art, false, err
	}
	log := proxmox.ReadLog(lines, f.guest.VMID)
	src := snapshotvm.Source{Asset: f.guest.Asset, Item: f.guest.Item, Type: f.guestType(), VMID: f.guest.VMID, Config: config, Log: log,
		Node: f.node}
	art = ledger.Artifact{ID: id, Kind: snapshotvm.Kind(f.guestType()), Asset: f.guest.Asset, Item: f.guest.Item, Run: j.s.Run, Step: j.s.ID,
		Source: fmt.Sprintf("%s:%s/%d", f.sys.Name, f.guestType(), f.guest.VMID), Created: f.created(), Origin: origin,
		Files: []ledger.File{{Name: path.Base(f.VolID), Size: f.Size}}, Bytes: f.Size, Gaps: snapshotvm.Gaps(src), Declared: snapshotvm.Facts(src),
		Foreign: f.run == "", Lost: f.run != ""}
	if f.run != "" {
		art.Run, art.Step = f.run, f.step
	}
	if log.Finished {
		art.Consistency = log.Consistency()
	}
	art.Devices = snapshotvm.Devices(j.w, art.Origin, f.guestType(), config)
	return art, true, nil
}

// isOf reports that an artifact which is on record is the one in the archive, as far as
// names tell.
func isOf(a ledger.Artifact, f *archive) bool {
	if a.Origin.Volume != "" {
		return a.Origin.Volume == f.VolID
	}
	return a.Kind == snapshotvm.Kind(f.guestType()) && len(a.Files) == 1 && a.Files[0].Name == path.Base(f.VolID)
}

func configName(f *archive, config map[string]string) string {
	return config[map[string]string{"qemu": "name", "lxc": "hostname"}[f.guestType()]]
}

// most of a log that is read: that of a job of many guests is longer, and is not beside an
// archive.
const longLog = 1 << 20

// log reads what vzdump left beside the archive: how consistent it is, and what it left
// out. Each line has its time in front. Where there is none, nothing is known of that.
func (j *job) log(ctx context.Context, f *archive, h host.Host) (lines []string, err error) {
	name := f.Path
	for _, ending := range []string{".zst", ".gz", ".lzo", ".vma", ".tar"} {
		name = strings.TrimSuffix(name, ending)
	}
	r, err := h.Open(ctx, name+".log", 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, systems.NodeError(f.sys.Name, "read "+name+".log on "+f.node, err)
	}
	defer r.Close()
	in := bufio.NewScanner(io.LimitReader(r, longLog))
	for in.Scan() {
		line := in.Text()
		const stamp = "2006-01-02 15:04:05 "
		if len(line) > len(stamp) {
			if _, err := time.Parse(stamp, line[:len(stamp)]); err == nil {
				line = line[len(stamp):]
			}
		}
		lines = append(lines, line)
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return nil, nil // it is no log
	}
	return lines, systems.NodeError(f.sys.Name, "read "+name+".log on "+f.node, in.Err())
}

// prove digests an archive, and reads it again at the level that is demanded. Of what is
// damaged the copy is returned, too.
func (j *job) prove(ctx context.Context, f *archive, art ledger.Artifact) (cp ledger.Copy, proof ledger.Proof, err error) {
	t, err := j.w.OpenTarget(ctx, j.s, f.target, art)
	if err != nil {
		return cp, proof, err
	}
	defer t.Close()
	k, _ := kinds.Find(art.Kind)
	open := func(ctx context.Context, file string, offset int64) (io.ReadCloser, error) {
		return j.w.OpenFile(ctx, art.Origin, file, offset)
	}
	out := target.Copy(ctx, target.Source{Artifact: art, Check: k.Open, Open: open}, []*target.Target{t})[0]
	if out.Err != nil {
		return cp, proof, out.Err
	}
	cp = out.Copy
	cp.Device = j.w.ArchiveDevice(art.Origin)
	cp.OnSource = cp.Device.Shares(art.Devices)
	v, err := t.Verify(ctx, cp, j.level(art.Asset, f.target), nil, k.Open)
	if failure.Is(err, target.CodeDamaged) {
		return cp, proof, err
	}
	if err != nil {
		return ledger.Copy{}, proof, err
	}
	return cp, ledger.Proof{Copy: cp.ID, Artifact: art.ID, Asset: art.Asset, Item: art.Item, Target: f.target, Level: v.Level, At: j.s.Now(),
		Run: j.s.Run, Step: j.s.ID, Bytes: v.Bytes, Nanos: v.Nanos, Note: v.Note}, nil
}
