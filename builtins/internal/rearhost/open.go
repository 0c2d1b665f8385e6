package rearhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/rear"
	"github.com/neosofia/runner/runtime/ledger"
)

// open reads the files of the artifact once: digests, and everything inside. An
// encrypted archive is decrypted on the way.
func (j *job) open(ctx context.Context, made *rear.Made, key []byte) (ledger.Artifact, *rear.Inspector, error) {
	art := ledger.Artifact{ID: j.s.ArtifactID(), Kind: "rear", Asset: j.asset, Item: j.name, Run: j.s.Run, Step: j.s.ID,
		Source:  "host:" + j.name,
		Created: j.s.Now(), Origin: ledger.Origin{Host: j.name, Dir: made.Dir}, Consistency: "files as they were read, one after another"}
	insp := &rear.Inspector{Key: key}
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
		art.Gaps = append(art.Gaps, ledger.Gap{Asset: j.asset, Item: j.name, What: "mount " + m,
			Why: "it lies on a disk that holds copies or guests"})
	}
	for _, dev := range j.plan.TPM {
		art.Gaps = append(art.Gaps, ledger.Gap{Asset: j.asset, Item: j.name, What: "disk " + dev,
			Why: "its LUKS container opens on this board only (TPM): on another one it needs a passphrase that it does not have"})
	}
	if j.full != nil {
		art.Needs = []string{j.full.ID}
	}
	art.Declared = j.declared(made, insp)
	return art, insp, nil
}

func (j *job) declared(made *rear.Made, insp *rear.Inspector) map[string]string {
	d := map[string]string{"rear": j.facts.Version, "output": j.plan.Output,
		ledger.DeclaredShown("disks that a recovery makes anew"): strings.Join(j.plan.Disks, ","), "bootloader": insp.Rescue.Bootloader,
		"archive_type": "full"}
	set := func(key, value string) {
		if value != "" {
			d[key] = value
		}
	}
	set(ledger.DeclaredErases, strings.Join(j.plan.Shared, ","))
	if len(j.plan.Shared) > 0 {
		// copies on these disks do not bring the guests back
		set(ledger.DeclaredSerials, strings.Join(slices.Sorted(maps.Keys(j.ownSerials())), ","))
	}
	set("archive", made.Archive)
	if j.o.Encrypted {
		d["encrypted"] = "openssl, aes-256-cbc, pbkdf2"
	}
	set("chain", j.o.Differential)
	set("usb", j.o.Stick.Serial)
	set(ledger.DeclaredShown("LUKS containers"), strings.Join(j.plan.LUKS, ","))
	set(ledger.DeclaredShown("opened by this board alone (TPM)"), strings.Join(j.plan.TPM, ","))
	if j.full != nil {
		d["archive_type"] = "differential"
	}
	return d
}

// file reads one file of the artifact through the inspector.
func (j *job) file(ctx context.Context, insp *rear.Inspector, name string) (ledger.File, error) {
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
