package host

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// rear plays Relax-and-Recover 2.7: it makes a small but true image of the host,
// by the configuration that it is given. Faults of its own, On = "run HOST rear":
//
//	old             it is 2.4
//	busy            another one is running
//	asks            it asks a question and ends because nobody answers
//	asks-on         it asks, and goes on with its default
//	space           the disk is full half way
//	error TEXT      it ends with an error of its own
//	dies            it is killed half way, by SIGKILL
//	no-modules      the image has no kernel modules; it ends with 0
//	no-udev         the image has no udev; it ends with 0
//	cut             the archive is cut; it ends with 0
//	forgets         it does not obey the exclusions of its layout
//	alone           the image starts a recovery by itself
//	leaks PATH      the image holds that file
//	pulled          the stick vanishes half way
//	warns           it says that recovery may fail; it ends with 0
func rear(ctx context.Context, c *Call) int { return rearWith(ctx, c, "") }

// rearRun is one `rear mkbackup` under way.
type rearRun struct {
	*Call
	conf  *rearConf
	deeds map[string]string
	host  string
	key   string
	log   bytes.Buffer
}

const rearKernel = "6.8.12-4-pve"

func rearWith(_ context.Context, c *Call, key string) int {
	deeds, err := c.Due("old", "busy", "asks", "asks-on", "space", "error", "dies", "no-modules", "no-udev", "cut", "forgets", "alone",
		"leaks", "pulled", "warns")
	if err != nil {
		return c.Fail(1, "%v", err)
	}
	r := &rearRun{Call: c, deeds: map[string]string{}, key: key}
	for _, d := range deeds {
		r.deeds[d.Name] = "-" + d.Args
	}
	r.host, _, _ = strings.Cut(c.Name, ".")
	if len(c.Args) == 2 && c.Args[1] == "--version" {
		version := "2.7"
		if r.deeds["old"] != "" {
			version = "2.4"
		}
		fmt.Fprintf(c.Stdout, "Relax-and-Recover %s / Git\n", version)
		return 0
	}
	if len(c.Args) != 5 || c.Args[1] != "-c" || c.Args[4] != "mkbackup" {
		return c.Fail(1, "the lab knows: rear -c DIR -v mkbackup")
	}
	if r.deeds["busy"] != "" {
		fmt.Fprintln(c.Stderr, "ERROR: rear is already running with PID 4711, not starting again")
		return 1
	}
	exit, err := r.mkbackup()
	if err != nil {
		r.error(err.Error())
		exit = 143
	}
	if werr := writeBelow(c.on("/var/log/rear/rear-"+r.host+".log"), r.log.Bytes()); werr != nil {
		return c.Fail(1, "%v", werr)
	}
	return exit
}

func writeBelow(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

func (r *rearRun) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	fmt.Fprintln(r.Stdout, line)
	fmt.Fprintf(&r.log, "%s %s\n", r.Now().UTC().Format("2006-01-02 15:04:05.000000000"), line)
}

func (r *rearRun) error(text string) {
	r.say("ERROR: %s", text)
	r.say("Aborting due to an error, check /var/log/rear/rear-%s.log for details", r.host)
	fmt.Fprintln(r.Stderr, "Terminated")
}

func (r *rearRun) mkbackup() (int, error) {
	var err error
	if r.conf, err = readConf(r.on(r.Args[2])); err != nil {
		return 0, err
	}
	if r.deeds["forgets"] != "" {
		r.conf.list = map[string][]string{"BACKUP_PROG_EXCLUDE": r.conf.list["BACKUP_PROG_EXCLUDE"]}
	}
	r.say("Running rear mkbackup (PID 1234)")
	fmt.Fprintf(&r.log, "%s Including %s/local.conf\n", r.Now().UTC().Format("2006-01-02 15:04:05.000000000"), r.Args[2])
	for _, d := range []string{"asks", "asks-on"} {
		if r.deeds[d] != "" {
			r.say("Proceed regardless that the lab asks ?")
			r.say("(default 'No' timeout %s seconds)", r.conf.one["USER_INPUT_TIMEOUT"])
		}
	}
	if r.deeds["asks"] != "" {
		return 0, fmt.Errorf("nobody answered")
	}
	if text := r.deeds["error"]; text != "" {
		return 0, fmt.Errorf("%s", text[1:])
	}
	devices, err := r.Devices()
	if err != nil {
		return 0, err
	}
	layout := rearLayout(devices, r.conf)
	for file, content := range map[string]string{"disklayout.conf": layout, "diskdeps.conf": "fs:/ /dev/sda\n"} {
		if err := writeBelow(r.on("/var/lib/rear/layout/"+file), []byte(content)); err != nil {
			return 0, err
		}
	}
	if r.deeds["warns"] != "" {
		r.say("No partition label type for 'disk /dev/sda' (may cause 'rear recover' failure)")
	}
	parts, err := r.image(layout)
	if err != nil {
		return 0, err
	}
	archive, err := r.archive()
	if err != nil {
		return 0, err
	}
	switch {
	case r.deeds["dies"] != "":
		return Signaled, nil
	case r.deeds["space"] != "":
		r.say("dd: error writing 'backup.tar.gz': No space left on device")
		return 0, fmt.Errorf("could not write the backup")
	case r.deeds["pulled"] != "":
		if err := r.pull(devices); err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("USB or disk device '%s' is not a block device", strings.TrimPrefix(r.conf.one["BACKUP_URL"], "usb://"))
	}
	if err := r.put(parts, archive); err != nil {
		return 0, err
	}
	r.say("Finished running mkbackup workflow")
	return 0, nil
}

// pull takes the stick out.
func (r *rearRun) pull(devices []*Device) error {
	dev := strings.TrimPrefix(r.conf.one["BACKUP_URL"], "usb://")
	var left []*Device
	for _, d := range devices {
		keep := true
		walk([]*Device{d}, func(_, child *Device) { keep = keep && child.Path != dev })
		if keep {
			left = append(left, d)
		}
	}
	return r.SetDevices(left)
}

// archive makes the backup: everything of the host below /etc, /root and
// /var/lib/runner that is not left out.
func (r *rearRun) archive() ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	var files []string
	for _, top := range []string{"/etc", "/root", "/var/lib/runner"} {
		err := filepath.WalkDir(r.on(top), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				files = append(files, "/"+strings.TrimPrefix(strings.TrimPrefix(path, r.Root), "/"))
			}
			if os.IsNotExist(err) {
				return nil
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	sort.Strings(files)
	for _, file := range files {
		if r.conf.leaves(file) {
			continue
		}
		content, err := os.ReadFile(r.on(file))
		if err != nil {
			return nil, err
		}
		if err := t.WriteHeader(&tar.Header{Name: strings.TrimPrefix(file, "/"), Mode: 0o600, Size: int64(len(content)),
			ModTime: r.Now()}); err != nil {
			return nil, err
		}
		if _, err := t.Write(content); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	out := b.Bytes()
	if r.deeds["cut"] != "" {
		out = out[:len(out)/2]
	}
	if r.conf.one["BACKUP_PROG_CRYPT_ENABLED"] == "true" {
		return r.encrypt(out)
	}
	return out, nil
}

// encrypt is what openssl enc -aes-256-cbc -pbkdf2 makes of the archive.
func (r *rearRun) encrypt(clear []byte) ([]byte, error) {
	if r.key == "" {
		return nil, fmt.Errorf("BACKUP_PROG_CRYPT_KEY must be set for backup archive encryption")
	}
	const salt = "labsalt!"
	key, err := pbkdf2.Key(sha256.New, r.key, []byte(salt), 10000, 48)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key[:32])
	if err != nil {
		return nil, err
	}
	padding := 16 - len(clear)%16
	out := append(bytes.Clone(clear), bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(block, key[32:]).CryptBlocks(out, out)
	return append([]byte("Salted__"+salt), out...), nil
}

// put writes image and archive where the configuration wants them.
func (r *rearRun) put(parts map[string][]byte, archive []byte) error {
	c := r.conf
	if c.one["OUTPUT"] == "USB" {
		return r.putStick(parts, archive)
	}
	if c.one["BACKUP_URL"] == "iso:///backup" {
		parts["backup/backup.tar.gz"] = archive
	} else if err := r.putArchive(archive); err != nil {
		return err
	}
	iso, err := isoImage(parts)
	if err != nil {
		return err
	}
	r.say("Wrote ISO image: %s/rear-%s.iso (%d)", c.one["ISO_DIR"], r.host, len(iso))
	return writeBelow(r.on(filepath.Join(c.one["ISO_DIR"], "rear-"+r.host+".iso")), iso)
}

func (r *rearRun) putArchive(archive []byte) error {
	dir := filepath.Join(strings.TrimPrefix(r.conf.one["BACKUP_URL"], "file://"), r.conf.one["NETFS_PREFIX"])
	name := "backup.tar.gz"
	if r.conf.one["BACKUP_TYPE"] == "differential" {
		full, err := filepath.Glob(r.on(dir) + "/*-F.tar.gz")
		if err != nil {
			return err
		}
		name = r.Now().UTC().Format("2006-01-02-1504") + "-F.tar.gz"
		if len(full) > 0 {
			on := filepath.Base(full[len(full)-1])
			name = strings.TrimSuffix(name, "-F.tar.gz") + "-D.tar.gz"
			r.say("Latest full backup found (%s) triggers differential backup", on)
			r.say("Performing differential backup for files newer than %s using backup archive '%s'", on[:10], name)
		}
	}
	r.say("Creating tar archive '%s/%s'", dir, name)
	return writeBelow(filepath.Join(r.on(dir), name), archive)
}

func (r *rearRun) putStick(parts map[string][]byte, archive []byte) error {
	dev := strings.TrimPrefix(r.conf.one["BACKUP_URL"], "usb://")
	top := r.store(dev)
	at := filepath.Join(top, "rear", r.host, r.conf.one["USB_SUFFIX"])
	for path, content := range map[string][]byte{
		filepath.Join(at, "kernel"): parts["isolinux/kernel"], filepath.Join(at, "initrd.cgz"): parts["isolinux/initrd.cgz"],
		filepath.Join(at, "syslinux.cfg"): parts["isolinux/isolinux.cfg"], filepath.Join(at, "backup.tar.gz"): archive,
		filepath.Join(top, "boot", "syslinux", "ldlinux.sys"):   []byte("boot loader"),
		filepath.Join(top, "boot", "syslinux", "extlinux.conf"): []byte("default hd1\n"),
	} {
		if err := writeBelow(path, content); err != nil {
			return err
		}
	}
	r.say("Writing syslinux MBR of type gpt to %s", dev)
	return nil
}
