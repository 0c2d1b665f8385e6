package builtins

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/rear"
	"github.com/neosofia/runner/builtins/internal/format/layout"
	"github.com/neosofia/runner/runtime/ledger"
)

// rearMachine is a host as the client of ReaR wants it.
type rearMachine struct{ host.Host }

func (m rearMachine) Run(ctx context.Context, args []string, stdin io.Reader) (exit int, signal string, stdout, stderr []byte, err error) {
	r, err := m.Host.Run(ctx, host.Command{Args: args, Stdin: stdin})
	var killed *host.KilledError
	switch {
	case errors.Is(err, host.ErrNoProgram):
		return 127, "", r.Stdout, r.Stderr, nil
	case errors.As(err, &killed):
		return r.Exit, killed.Signal, r.Stdout, r.Stderr, nil
	}
	return r.Exit, "", r.Stdout, r.Stderr, err
}

func (m rearMachine) Read(ctx context.Context, file string, limit int64) ([]byte, error) {
	return host.ReadFile(ctx, m.Host, file, limit)
}

// elsewhere demands a proven copy off the host's own disks of every guest that a
// recovery erases.
func (j *rearJob) elsewhere(ctx context.Context) error {
	if len(j.plan.Shared) == 0 {
		return nil
	}
	catalog, err := j.s.Catalog(ctx)
	if err != nil {
		return err
	}
	own := j.ownSerials()
	for i, id := range j.plan.SharedIDs {
		name := id
		for _, g := range j.facts.Guests {
			if g.ID == id && g.Name != "" {
				name = g.Name
			}
		}
		proven := false
		for _, item := range []string{name, id} {
			copies, err := catalog.ProvenCopies(ctx, ledger.Query{Item: item})
			if err != nil {
				return err
			}
			proven = proven || slices.ContainsFunc(copies, func(c ledger.Proven) bool {
				return (c.Kind == "vm" || c.Kind == "ct") && c.Level >= ledger.Read && !c.InPlace && !own[c.Device.Serial]
			})
		}
		if !proven {
			return &rear.HoldsError{What: fmt.Sprintf("a recovery would erase guest %s (in %s, on the disk of the system), and no copy of it on another disk is proven", j.plan.Shared[i], strings.Join(j.plan.Erases, ", ")),
				Hint: fmt.Sprintf("first: verify(copies = copy(artifact = snapshot_vm(guest = %q)), level = \"read\"), to a target that is not on this host's disk", name)}
		}
	}
	return nil
}

// ownSerials are the disks that a recovery of the host makes anew.
func (j *rearJob) ownSerials() map[string]bool {
	out := map[string]bool{}
	for _, d := range j.facts.Devices {
		if d.Serial != "" && slices.Contains(j.plan.Disks, d.Path) {
			out[d.Serial] = true
		}
	}
	return out
}

const rearFullEvery = 7 * 24 * time.Hour

// choose decides whether a chain goes on or begins anew.
func (j *rearJob) choose(ctx context.Context) error {
	if !j.a.Differential {
		return nil
	}
	every := rearFullEvery
	if j.a.FullEvery != nil {
		every = *j.a.FullEvery
	}
	earlier, err := j.earlier(ctx)
	if err != nil {
		return err
	}
	j.o.Differential, j.o.Full = j.o.Artifact, true
	for _, a := range earlier { // newest first
		if a.Declared["archive_type"] != "full" || a.Declared["chain"] != a.ID {
			continue
		}
		o := j.o
		o.Differential = a.ID
		_, err := j.m.Stat(ctx, path.Join(o.ChainDir(), "archives", a.Declared["archive"]))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			j.s.Log("the full archive of %s is not on the host any more: a new chain begins", a.Created.Format(time.RFC3339))
		case err != nil:
			return err
		case j.s.Now().Sub(a.Created) < every:
			j.o.Differential, j.o.Full, j.full = a.ID, false, &a
		}
		return nil
	}
	return nil
}

// earlier lists the images of this host, newest first.
func (j *rearJob) earlier(ctx context.Context) (out []ledger.Artifact, err error) {
	catalog, err := j.s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	all, err := catalog.Artifacts(ctx, ledger.Query{Item: j.name})
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if a.Kind == "rear" && a.ID != j.s.ArtifactID() {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b ledger.Artifact) int { return b.Created.Compare(a.Created) })
	return out, nil
}

// chained demands that the archive builds on the full one that it was meant to.
func (j *rearJob) chained(made *rear.Made) error {
	want := ""
	if j.full != nil {
		want = j.full.Declared["archive"]
	}
	if made.Full != want {
		return &rear.Error{Code: "E_REAR_CHAIN", Doing: "look what the archive " + made.Archive + " builds on", Said: fmt.Sprintf("it builds on %q, and the ledger knows %q", made.Full, want), Hint: "something else writes archives into the chain's folder on the host"}
	}
	return nil
}

// open reads the files of the artifact once: digests, and everything inside.
func (j *rearJob) open(ctx context.Context, made *rear.Made) (ledger.Artifact, *rear.Inspector, error) {
	art := ledger.Artifact{ID: j.s.ArtifactID(), Kind: "rear", Asset: j.asset, Item: j.name, Run: j.s.Run, Step: j.s.ID, Source: "host:" + j.name,
		Created: j.s.Now(), Origin: map[string]string{"host": j.name, "dir": made.Dir}, Consistency: "files as they were read, one after another"}
	insp := &rear.Inspector{}
	for _, name := range made.Files {
		f, err := j.file(ctx, insp, path.Join(made.Dir, name))
		if err != nil {
			return art, nil, err
		}
		f.Name = name
		art.Files, art.Bytes = append(art.Files, f), art.Bytes+f.Size
	}
	if err := insp.End(); err != nil {
		return art, nil, err
	}
	for _, m := range j.plan.Missing {
		art.Gaps = append(art.Gaps, ledger.Gap{Asset: j.asset, Item: j.name, What: "mount " + m, Why: "it lies on a disk that holds copies or guests"})
	}
	for _, dev := range j.plan.TPM {
		art.Gaps = append(art.Gaps, ledger.Gap{Asset: j.asset, Item: j.name, What: "disk " + dev, Why: "its LUKS container opens on this board only (TPM): on another one it needs a passphrase that it does not have"})
	}
	if j.full != nil {
		art.Needs = []string{j.full.ID}
	}
	art.Declared = j.declared(made, insp)
	return art, insp, nil
}

func (j *rearJob) declared(made *rear.Made, insp *rear.Inspector) map[string]string {
	d := map[string]string{"rear": j.facts.Version, "output": j.plan.Output, "disks": strings.Join(j.plan.Disks, ","), "bootloader": insp.Rescue.Bootloader, "archive_type": "full"}
	set := func(key, value string) {
		if value != "" {
			d[key] = value
		}
	}
	set("erases", strings.Join(j.plan.Shared, ","))
	set("archive", made.Archive)
	set("chain", j.o.Differential)
	set("usb", j.o.Stick.Serial)
	set("luks", strings.Join(j.plan.LUKS, ","))
	set("tpm", strings.Join(j.plan.TPM, ","))
	if j.full != nil {
		d["archive_type"] = "differential"
	}
	return d
}

// file reads one file of the artifact through the inspector.
func (j *rearJob) file(ctx context.Context, insp *rear.Inspector, name string) (ledger.File, error) {
	r, err := j.m.Open(ctx, name, 0)
	if err != nil {
		return ledger.File{}, err
	}
	defer r.Close()
	sum := sha256.New()
	n := &counted{w: sum}
	in := io.TeeReader(r, n)
	if err := insp.File(ctx, path.Base(name), in); err != nil {
		return ledger.File{}, err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return ledger.File{}, err
	}
	j.s.Progress("open "+path.Base(name), n.n, n.n)
	return ledger.File{Size: n.n, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.w.Write(p)
}

func (j *rearJob) finding(text, hint string) {
	j.res.Facts.Findings = append(j.res.Facts.Findings, ledger.Finding{Severity: ledger.DegradedRun, Asset: j.asset, Item: j.name, Text: text, Type: hint})
}

// findings say what of the image is less than it should be.
func (j *rearJob) findings(made *rear.Made) {
	for _, q := range made.Asked {
		j.finding(fmt.Sprintf("rear on %s asked, and went on with its default: %s", j.name, q), "")
	}
	if len(made.Warnings) > 0 {
		j.finding(fmt.Sprintf("rear on %s made its image, but says: %s", j.name, strings.Join(made.Warnings, "; ")), "")
	}
	for _, line := range made.Same {
		j.s.Log("/etc/rear/%s is not used for this image", line)
	}
	if len(j.plan.Shared) > 0 {
		j.s.Log("a recovery of %s erases guests %s; they come back from their own copies", j.name, strings.Join(j.plan.Shared, ", "))
	}
	if row, ok := j.w.Site.Demands.Asset(j.asset); ok && j.a.Key == "" {
		for _, on := range row.On {
			if t, err := j.w.Site.Target(on.Target); err == nil && len(t.SealedTo) == 0 {
				j.finding(fmt.Sprintf("copies of the image of %s on target %s hold the host's files in clear", j.name, on.Target), "sealed_to on the target, or key in rear_host")
			}
		}
	}
}

const maxLayout = 4 << 20

// drift compares the layout and the boot loader with those of the image before.
func (j *rearJob) drift(ctx context.Context, insp *rear.Inspector) error {
	earlier, err := j.earlier(ctx)
	if err != nil || len(earlier) == 0 {
		return err
	}
	was := earlier[0]
	if old, now := was.Declared["bootloader"], insp.Rescue.Bootloader; old != "" && old != now {
		j.finding(fmt.Sprintf("the boot loader of %s was %s when the image before was made (%s), and is %s", j.name, old, was.Created.Format(time.RFC3339), now), "")
	}
	raw, err := host.ReadFile(ctx, j.m.Host, path.Join(was.Origin["dir"], rear.LayoutFile), maxLayout)
	if errors.Is(err, fs.ErrNotExist) {
		j.s.Log("the image before (%s) is not on the host any more: its layout is not compared", was.Created.Format(time.RFC3339))
		return nil
	}
	if err != nil {
		return err
	}
	old, err := layout.Parse(strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	if d := layout.Diff(old, insp.Layout); len(d) > 0 {
		j.finding(fmt.Sprintf("the disks of %s are not those of the image before (%s): %s", j.name, was.Created.Format(time.RFC3339), strings.Join(d[:min(len(d), 4)], "; ")),
			"copies of older images recover the old layout; this image has the new one")
	}
	return nil
}

var rearOwn = regexp.MustCompile(`^(?:chain-)?([0-9a-f]{16})(?:\.conf|\.mnt)?$`)

// sweep removes images of earlier runs from the host: those that every demanded
// target has, and what attempts left that made nothing.
func (j *rearJob) sweep(ctx context.Context) error {
	list, err := j.m.List(ctx, j.o.Dir)
	if err != nil {
		return err
	}
	earlier, err := j.earlier(ctx)
	if err != nil {
		return err
	}
	for _, info := range list {
		m := rearOwn.FindStringSubmatch(info.Name())
		if m == nil || m[1] == j.o.Artifact || m[1] == j.o.Differential || !info.IsDir() {
			continue
		}
		i := slices.IndexFunc(earlier, func(a ledger.Artifact) bool { return a.ID == m[1] })
		if i == 0 && !strings.HasSuffix(info.Name(), ".conf") {
			continue // the newest stays, for the next comparison
		}
		if i > 0 {
			if everywhere, err := j.everywhere(ctx, earlier[i]); err != nil || !everywhere {
				if err != nil {
					return err
				}
				continue
			}
		}
		dir := path.Join(j.o.Dir, info.Name())
		if _, err := host.Output(ctx, j.m.Host, "rm", "-rf", "--one-file-system", "--", dir); err != nil {
			return err
		}
	}
	return nil
}

// everywhere reports that every target that the asset demands has a copy.
func (j *rearJob) everywhere(ctx context.Context, a ledger.Artifact) (bool, error) {
	row, _ := j.w.Site.Demands.Asset(a.Asset)
	if len(row.On) == 0 {
		return true, nil
	}
	catalog, err := j.s.Catalog(ctx)
	if err != nil {
		return false, err
	}
	for _, on := range row.On {
		if _, found, err := catalog.Copy(ctx, ledger.CopyID(a.ID, on.Target)); err != nil || !found {
			return false, err
		}
	}
	return true, nil
}
