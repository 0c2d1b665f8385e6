// Package guest is the kinds of virtual machines and containers: a vzdump archive each.
package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/neosofia/runner/builtins/internal/kind"

	"github.com/neosofia/runner/builtins/internal/format/archive"
	"github.com/neosofia/runner/builtins/internal/format/vma"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

// VM is a virtual machine.
func VM() kind.Kind { return guest("vm", "a virtual machine", recoverDisks) }

// Container is a container.
func Container() kind.Kind { return guest("ct", "a container", recoverTree) }

// guest is a vzdump archive: one file.
func guest(name, title string, unpack func(ctx context.Context, j *kind.Job, file string, r io.Reader) error) kind.Kind {
	return kind.Kind{Name: name, Title: title, Opens: true,
		Open: target.EachFile(func(ctx context.Context, file string, r io.Reader) error {
			_, err := archive.Check(ctx, file, r)
			if errors.Is(err, archive.ErrUnsupported) {
				return fmt.Errorf("%w: %w", target.ErrNotHere, err)
			}
			return err
		}).Each,
		Recover: func(ctx context.Context, j *kind.Job) error {
			if len(j.Artifact.Files) != 1 {
				return fmt.Errorf("an archive of a guest is one file; this has %d", len(j.Artifact.Files))
			}
			file := j.Artifact.Files[0].Name
			r, err := j.Open(ctx, file)
			if err != nil {
				return err
			}
			defer r.Close()
			if err := unpack(ctx, j, file, r); err != nil {
				return fmt.Errorf("extract %s: %w\nwhat is in %s is incomplete", file, err, j.Into)
			}
			return nil
		},
		Dir: "/var/lib/vz/dump",
		Commands: func(a ledger.Artifact, dir string) (lines []string) {
			for _, f := range a.Files {
				path := dir + "/" + kind.Quote(f.Name)
				if a.Kind == "vm" {
					lines = append(lines, "# as root on a Proxmox VE node, NEWID a free number, STORAGE one of the node's:",
						"qmrestore "+path+" NEWID --storage STORAGE --unique 1")
					lines = append(lines, onlyDisks(path)...)
				} else {
					lines = append(lines, "# as root on a Proxmox VE node, NEWID a free number, STORAGE one of the node's:",
						"pct restore NEWID "+path+" --storage STORAGE",
						"# or only its files, as root on any machine:", "mkdir TREE && tar --numeric-owner --acls --xattrs --xattrs-include='*' -xpf "+path+
							" -C TREE")
				}
			}
			return lines
		},
	}
}

// unpackers are the programs that unpack what vzdump packs, by the ending.
var unpackers = map[string]string{".zst": "zstd -d ", ".gz": "gunzip -k ", ".lzo": "lzop -d "}

// onlyDisks gets at the disks of an archive, which is a word of a shell.
func onlyDisks(archive string) []string {
	lines := []string{"# or only its disks (vma comes with Proxmox VE):"}
	for ext, unpack := range unpackers {
		if clear, packed := strings.CutSuffix(archive, ext); packed {
			return append(lines, unpack+archive, "vma extract "+clear+" DISKS")
		}
	}
	return append(lines, "vma extract "+archive+" DISKS")
}

// Unpack extracts a vzdump archive, whoever made it.
func Unpack(ctx context.Context, j *kind.Job, file string, r io.Reader) error {
	if strings.Contains(file, ".vma") {
		return recoverDisks(ctx, j, file, r)
	}
	return recoverTree(ctx, j, file, r)
}

// recoverTree extracts a container's tree below rootfs.
func recoverTree(ctx context.Context, j *kind.Job, file string, r io.Reader) error {
	report, err := j.ExtractTree(ctx, file, r, "rootfs")
	return finish(j, report, r, err)
}

// recoverDisks extracts a VM's disks as raw sparse files.
func recoverDisks(ctx context.Context, j *kind.Job, file string, r io.Reader) (err error) {
	var open []*os.File
	defer func() {
		for _, f := range open {
			if serr := f.Sync(); err == nil {
				err = serr
			}
			if cerr := f.Close(); err == nil {
				err = cerr
			}
		}
	}()
	report, err := archive.ExtractDisks(ctx, file, r, func(d vma.Device) (io.WriterAt, error) {
		path := filepath.Join(j.Into, "disk-"+kind.Safe(d.Name)+".raw")
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		open = append(open, f)
		j.Paths = append(j.Paths, path)
		return f, f.Truncate(d.Size)
	})
	if err == nil && len(report.Devices) == 0 {
		j.Skipped = append(j.Skipped, "no disk is in this archive: it holds the guest's configuration alone, as vzdump makes it where every "+
			"disk has backup=0")
	}
	return finish(j, report, r, err)
}

// finish reads the stream to its end, where its digest is known, writes the guest's
// configuration, and says what puts the guest back.
func finish(j *kind.Job, report archive.Report, r io.Reader, err error) error {
	if err == nil {
		_, err = io.Copy(io.Discard, r)
	}
	if err != nil {
		return err
	}
	if err := j.NotRestored(report.Skipped); err != nil {
		return err
	}
	for _, c := range report.Configs {
		path := filepath.Join(j.Into, kind.Safe(c.Name))
		if err := os.WriteFile(path, c.Data, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		j.Config = append(j.Config, path)
	}
	lines, err := putBack(j)
	j.Say = append(j.Say, lines...)
	return err
}
