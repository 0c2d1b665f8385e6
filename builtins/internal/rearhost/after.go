package rearhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/rear"
	"github.com/neosofia/runner/builtins/internal/format/layout"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

func (j *job) finding(text, hint string) {
	j.res.Facts.Findings = append(j.res.Facts.Findings, ledger.Finding{Severity: ledger.DegradedRun, Asset: j.asset, Item: j.name, Text: text,
		Type: hint})
}

// findings say what of the image is less than it should be.
func (j *job) findings(made *rear.Made, l layout.Layout) {
	for _, c := range l.Of("crypt") {
		if c.Cut {
			j.finding(fmt.Sprintf("rear on %s wrote the line of the LUKS container on %s in two: a recovery makes it with a new UUID instead of "+
				"%s, and the system may not find it", j.name, c.On, c.UUID),
				"after rear recover and before the restart: cryptsetup luksUUID "+c.On+" --uuid "+c.UUID)
		}
	}
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
		j.s.Log("a recovery of %s erases guests %s: what has copies comes back from them", j.name, strings.Join(j.plan.Shared, ", "))
	}
	if row, ok := j.w.Site.Demands.Asset(j.asset); ok && j.a.Key == "" {
		for _, on := range row.On {
			if t, err := j.w.Site.Target(on.Target); err == nil && len(t.SealedTo) == 0 {
				j.finding(fmt.Sprintf("copies of the image of %s on target %s hold the host's files in clear", j.name, on.Target),
					"sealed_to on the target, or key in rear_host")
			}
		}
	}
}

const maxLayout = 4 << 20

// drift compares the layout and the boot loader with those of the image before.
func (j *job) drift(ctx context.Context, insp *rear.Inspector) error {
	earlier, err := j.earlier(ctx)
	if err != nil || len(earlier) == 0 {
		return err
	}
	was := earlier[0]
	if old, now := was.Declared["bootloader"], insp.Rescue.Bootloader; old != "" && old != now {
		j.finding(fmt.Sprintf("the boot loader of %s was %s when the image before was made (%s), and is %s", j.name, old,
			was.Created.Format(time.RFC3339), now), "")
	}
	raw, err := host.ReadFile(ctx, j.m.Host, path.Join(was.Origin.Dir, rear.LayoutFile), maxLayout)
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
		j.finding(fmt.Sprintf("the disks of %s are not those of the image before (%s): %s", j.name, was.Created.Format(time.RFC3339),
			strings.Join(d[:min(len(d), 4)], "; ")),
			"copies of older images recover the old layout; this image has the new one")
	}
	return nil
}

var ownFolder = regexp.MustCompile(`^(?:chain-)?([0-9a-f]{16})(?:\.conf|\.mnt)?$`)

// sweep removes images of earlier runs from the host: those that every demanded
// target has, and what attempts left that made nothing.
func (j *job) sweep(ctx context.Context) error {
	list, err := j.m.List(ctx, j.o.Dir)
	if err != nil {
		return err
	}
	earlier, err := j.earlier(ctx)
	if err != nil {
		return err
	}
	for _, info := range list {
		m := ownFolder.FindStringSubmatch(info.Name())
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

// everywhere reports that every target that the asset demands has a copy; of a set, one.
func (j *job) everywhere(ctx context.Context, a ledger.Artifact) (bool, error) {
	row, _ := j.w.Site.Demands.Asset(a.Asset)
	if len(row.On) == 0 {
		return true, nil
	}
	catalog, err := j.s.Catalog(ctx)
	if err != nil {
		return false, err
	}
	for _, one := range row.Promises() {
		met := false
		for _, on := range one {
			_, found, err := catalog.Copy(ctx, ledger.CopyID(a.ID, on.Target))
			if err != nil {
				return false, err
			}
			met = met || found
		}
		if !met {
			return false, nil
		}
	}
	return true, nil
}

// Stands reports whether the files of an image are on its host, with the sizes
// that they had.
func Stands(ctx context.Context, s *runtime.Step, w *systems.Systems, a ledger.Artifact) (bool, error) {
	h, _, err := w.Host(ctx, a.Origin.Host)
	if err != nil {
		return false, err
	}
	defer h.Close()
	for _, f := range a.Files {
		st, err := h.Stat(ctx, path.Join(a.Origin.Dir, path.Base(f.Name)))
		if errors.Is(err, fs.ErrNotExist) || err == nil && st.Size() != f.Size {
			s.Log("the image of %s is not there any more as it was: making a new one", a.Item)
			return false, nil
		}
		if err != nil {
			return false, host.Explain(a.Origin.Host, "look at the image of "+a.Item, err)
		}
	}
	return true, nil
}
