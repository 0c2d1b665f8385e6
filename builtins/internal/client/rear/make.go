package rear

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"sort"
	"strings"

	"github.com/neosofia/runner/runtime/failure"
)

// keyPlace is where openssl finds the key of an archive: in its own environment,
// which root alone can read.
const keyPlace = "env:RUNNER_REAR_KEY"

// Made is an image on the host.
type Made struct {
	Verdict
	Dir     string   // where its files lie
	Files   []string // their names: the plan first, the image and the archive last
	Archive string   // name of the backup
	Full    string   // of a chain: the archive that it builds on; "" when it is that one
	Same    []string // settings of /etc/rear that were not used
}

const maxLog = 16 << 20

// Make runs ReaR and collects what it made. The key encrypts the archive; it is
// given to ReaR in its environment by way of standard input, and lies nowhere.
func Make(ctx context.Context, m Machine, f *Facts, p *Plan, o Options, key []byte) (*Made, error) {
	if err := begin(ctx, m, p, o); err != nil {
		return nil, err
	}
	if o.Output == "usb" {
		if err := o.Stick.free(ctx, m); err != nil {
			return nil, err
		}
	}
	if err := headers(ctx, m, p, o); err != nil {
		return nil, err
	}
	args, stdin := []string{"rear", "-c", o.ConfDir(), "-v", "mkbackup"}, io.Reader(bytes.NewReader(nil))
	if o.Encrypted {
		args = append([]string{"sh", "-c", "read -r RUNNER_REAR_KEY && export RUNNER_REAR_KEY BACKUP_PROG_CRYPT_KEY=" + keyPlace +
			` && exec "$@" </dev/null`, "sh"}, args...)
		stdin = bytes.NewReader(append(bytes.Clone(key), '\n'))
	}
	exit, signal, out, errs, err := m.Run(ctx, args, stdin)
	if err != nil {
		return nil, err
	}
	log := readLog(ctx, m, f.Host, o)
	made := &Made{Dir: o.Folder()}
	if made.Verdict, err = Judge(exit, signal, string(out)+"\n"+string(errs), log); err != nil {
		if o.Output == "usb" {
			err = o.Stick.blame(ctx, m, err)
		}
		return nil, err
	}
	made.Same = f.Differences(p.Conf(o))
	return made, made.collect(ctx, m, p, o, log)
}

// begin makes the folders anew: what an attempt before left is gone.
func begin(ctx context.Context, m Machine, p *Plan, o Options) error {
	for _, dir := range []string{o.Folder(), o.ConfDir()} {
		if _, err := command(ctx, m, "clear "+dir, "rm", "-rf", "--one-file-system", "--", dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{o.Folder(), path.Join(o.ConfDir(), "templates")} {
		if err := m.MkdirAll(ctx, dir, 0o700); err != nil {
			return err
		}
	}
	if o.Differential != "" {
		if o.Full {
			if _, err := command(ctx, m, "clear "+o.ChainDir(), "rm", "-rf", "--one-file-system", "--", o.ChainDir()); err != nil {
				return err
			}
		}
		if err := m.MkdirAll(ctx, o.ChainDir(), 0o700); err != nil {
			return err
		}
	}
	if err := write(ctx, m, path.Join(o.ConfDir(), "local.conf"), 0o600, []byte(p.Conf(o))); err != nil {
		return err
	}
	return write(ctx, m, path.Join(o.ConfDir(), "templates", "rear.help"), 0o644, []byte(p.Help()))
}

// readLog reads ReaR's log, if it is that of this run: it names the configuration
// that it read. Without one the judgment says so.
func readLog(ctx context.Context, m Machine, host string, o Options) string {
	b, err := m.Read(ctx, "/var/log/rear/rear-"+host+".log", maxLog)
	if err != nil || !bytes.Contains(b, []byte(path.Join(o.ConfDir(), "local.conf"))) {
		return ""
	}
	return string(b)
}

// luksDump is what is used of `cryptsetup luksDump --dump-json-metadata`.
type luksDump struct {
	Keyslots map[string]json.RawMessage `json:"keyslots"`
	Tokens   map[string]struct {
		Type     string   `json:"type"`
		Keyslots []string `json:"keyslots"`
	} `json:"tokens"`
}

// headers saves the headers of the containers that a recovery makes anew: ReaR
// makes new ones, with a new key, and old copies of the disk open with the old.
func headers(ctx context.Context, m Machine, p *Plan, o Options) error {
	for _, dev := range p.LUKS {
		file := path.Join(o.Folder(), "luks"+strings.ReplaceAll(dev, "/", "-")+".header")
		if _, err := command(ctx, m, "save the LUKS header of "+dev, "cryptsetup", "luksHeaderBackup", dev, "--header-backup-file",
			file); err != nil {
			return err
		}
		exit, _, out, _, err := m.Run(ctx, []string{"cryptsetup", "luksDump", "--dump-json-metadata", dev}, nil)
		if err != nil {
			return err
		}
		if exit == 0 && boundToBoard(out) { // LUKS1 has no tokens
			p.TPM = append(p.TPM, dev)
		}
	}
	return nil
}

// boundToBoard reports that every key slot of a container belongs to a token that
// only this board's TPM opens.
func boundToBoard(out []byte) bool {
	var d luksDump
	if json.Unmarshal(out, &d) != nil || len(d.Keyslots) == 0 {
		return false
	}
	for _, t := range d.Tokens {
		if t.Type == "systemd-tpm2" || t.Type == "clevis" {
			for _, slot := range t.Keyslots {
				delete(d.Keyslots, slot)
			}
		}
	}
	return len(d.Keyslots) == 0
}

// collect puts the files of the artifact into its folder, and lists them.
func (d *Made) collect(ctx context.Context, m Machine, p *Plan, o Options, log string) error {
	if o.Output == "usb" {
		if err := o.Stick.fetch(ctx, m, p.Host, o); err != nil {
			return err
		}
	} else if err := d.archives(ctx, m, o, log); err != nil {
		return err
	}
	plan, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	smalls := map[string][]byte{PlanFile: plan, ConfFile: []byte(p.Conf(o)), LogFile: []byte(log),
		EtcFile: []byte(strings.Join(d.Same, "\n") + "\n")}
	for _, file := range []string{LayoutFile, DepsFile} {
		if smalls[file], err = m.Read(ctx, "/var/lib/rear/layout/"+file, maxSmall); err != nil {
			return fmt.Errorf("read the layout that rear saved: %w", err)
		}
	}
	for file, content := range smalls {
		if err := write(ctx, m, path.Join(d.Dir, file), 0o600, content); err != nil {
			return err
		}
	}
	if _, err := command(ctx, m, "flush "+d.Dir, "sync", "-f", d.Dir); err != nil {
		return err
	}
	return d.list(ctx, m)
}

// order of the files: the plan first, then what is small, then image and archive.
func rank(file string) int {
	switch {
	case file == PlanFile:
		return 0
	case strings.HasSuffix(file, ".iso") || strings.HasPrefix(file, "initrd") || file == "kernel":
		return 2
	case strings.Contains(file, ".tar"):
		return 3
	}
	return 1
}

func (d *Made) list(ctx context.Context, m Machine) error {
	infos, err := m.List(ctx, d.Dir)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if info.Mode().IsRegular() {
			d.Files = append(d.Files, info.Name())
		}
	}
	sort.SliceStable(d.Files, func(i, j int) bool {
		if a, b := rank(d.Files[i]), rank(d.Files[j]); a != b {
			return a < b
		}
		return d.Files[i] < d.Files[j]
	})
	return nil
}

var (
	archiveName = regexp.MustCompile(`backup archive '([^'/]+)'|Creating tar archive '(?:[^']*/)?([^'/]+)'`)
	buildsOn    = regexp.MustCompile(`(?:Latest full backup found \(([^)/]+)\))`)
)

// archives moves the archive beside the image. One of a chain stays where ReaR
// looks for it, too: both names are one file.
func (d *Made) archives(ctx context.Context, m Machine, o Options, log string) error {
	if o.Backup == "iso" {
		return nil
	}
	if found := archiveName.FindAllStringSubmatch(log, -1); found != nil {
		last := found[len(found)-1]
		d.Archive = last[1] + last[2]
	}
	if on := buildsOn.FindStringSubmatch(log); on != nil {
		d.Full = on[1]
	}
	dir := path.Join(o.Folder(), "archives")
	if o.Differential != "" {
		dir = path.Join(o.ChainDir(), "archives")
	}
	if d.Archive == "" {
		return &failure.Error{Code: CodeImage, Doing: "find the backup archive", Said: "rear's log does not name one"}
	}
	if _, err := m.Stat(ctx, path.Join(dir, d.Archive)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return &failure.Error{Code: CodeImage, Doing: "find the backup archive", Said: path.Join(dir, d.Archive) + " is not there"}
		}
		return err
	}
	_, err := command(ctx, m, "put the archive beside the image", "ln", "-f", "--", path.Join(dir, d.Archive), path.Join(d.Dir, d.Archive))
	if err == nil && o.Differential == "" {
		_, err = command(ctx, m, "clear "+dir, "rm", "-rf", "--one-file-system", "--", dir)
	}
	return err
}
