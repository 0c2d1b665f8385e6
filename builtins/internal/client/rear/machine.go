package rear

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/runtime/failure"
)

// Machine is the host that ReaR runs on. Missing files are fs.ErrNotExist; a
// program that is not there ends with 127; one that a signal ended has its name.
type Machine interface {
	Run(ctx context.Context, args []string, stdin io.Reader) (exit int, signal string, stdout, stderr []byte, err error)
	Read(ctx context.Context, path string, limit int64) ([]byte, error)
	Stat(ctx context.Context, path string) (fs.FileInfo, error)
	List(ctx context.Context, dir string) ([]fs.FileInfo, error)
	Write(ctx context.Context, path string, mode fs.FileMode, r io.Reader) error
	MkdirAll(ctx context.Context, path string, mode fs.FileMode) error
	Remove(ctx context.Context, path string) error
}

// command runs a program that has to end with 0.
func command(ctx context.Context, m Machine, doing string, args ...string) ([]byte, error) {
	exit, signal, out, errs, err := m.Run(ctx, args, nil)
	switch {
	case err != nil:
		return nil, err
	case exit == 127:
		return nil, &failure.Error{Code: host.CodeProgram, Doing: doing, Said: "there is no program " + args[0], Hint: "install it on the host"}
	case exit != 0 || signal != "":
		return nil, &failure.Error{Code: host.CodeFailed, Doing: doing, Said: args[0] + " ended with " + strconv.Itoa(exit) + " " + signal +
			": " + saidOf(string(errs))}
	}
	return out, nil
}

var versionText = regexp.MustCompile(`Relax-and-Recover (\d+)\.(\d+)`)

// The oldest that knows PRE_RECOVERY_COMMANDS.
const leastMajor, leastMinor = 2, 7

// version asks ReaR for its version.
func version(ctx context.Context, m Machine) (string, error) {
	exit, _, out, errs, err := m.Run(ctx, []string{"rear", "--version"}, nil)
	if err != nil {
		return "", err
	}
	if exit == 127 {
		_, err := Judge(127, "", "", "")
		return "", err
	}
	v := versionText.FindSubmatch(out)
	if exit != 0 || v == nil {
		return "", &failure.Error{Code: CodeFailed, Doing: "ask rear for its version", Said: saidOf(string(out) + "\n" + string(errs))}
	}
	major, _ := strconv.Atoi(string(v[1]))
	minor, _ := strconv.Atoi(string(v[2]))
	if major < leastMajor || major == leastMajor && minor < leastMinor {
		return "", &failure.Error{Code: CodeOld, Doing: "ask rear for its version",
			Said: "it is " + string(v[1]) + "." + string(v[2]) + ", and 2.7 is the oldest that asks before it erases (PRE_RECOVERY_COMMANDS)",
			Hint: "install ReaR 2.7 or newer on the host"}
	}
	return string(v[1]) + "." + string(v[2]), nil
}

const (
	maxGuests = 10_000
	maxConf   = 1 << 20
)

// Gather looks at a host: its disks, storages, guests, its own settings of ReaR.
func Gather(ctx context.Context, m Machine) (*Facts, error) {
	f := &Facts{Etc: map[string]string{}}
	var err error
	if f.Version, err = version(ctx, m); err != nil {
		return nil, err
	}
	out, err := command(ctx, m, "ask for the host's name", "uname", "-n")
	if err != nil {
		return nil, err
	}
	f.Host, _, _ = strings.Cut(strings.TrimSpace(string(out)), ".")
	if !name.MatchString(f.Host) {
		return nil, &failure.Error{Code: host.CodeFailed, Doing: "ask for the host's name", Said: "uname -n says " + strconv.Quote(f.Host)}
	}
	if out, err = command(ctx, m, "list the host's disks", "lsblk", "-J", "-b", "-o", Columns); err != nil {
		return nil, err
	}
	if f.Devices, err = ParseDevices(out); err != nil {
		return nil, &failure.Error{Code: host.CodeFailed, Doing: "list the host's disks", Said: err.Error()}
	}
	storages := ""
	for file, to := range map[string]*string{"/etc/fstab": &f.Fstab, "/etc/crypttab": &f.Crypttab, "/proc/self/mountinfo": &f.Mounts,
		"/etc/pve/storage.cfg": &storages} {
		if *to, err = optional(ctx, m, file); err != nil {
			return nil, err
		}
	}
	f.Storages = ParseStorages(storages)
	if err := f.guests(ctx, m); err != nil {
		return nil, err
	}
	return f, f.etc(ctx, m)
}

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

func optional(ctx context.Context, m Machine, file string) (string, error) {
	b, err := m.Read(ctx, file, maxConf)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

// guests reads the configurations of the guests of this node.
func (f *Facts) guests(ctx context.Context, m Machine) error {
	node := "/etc/pve/nodes/" + f.Host // /etc/pve/qemu-server is a link to it
	if err := cluster(ctx, m, node); err != nil {
		return err
	}
	for _, dir := range []string{node + "/qemu-server", node + "/lxc"} {
		list, err := confs(ctx, m, dir)
		if err != nil {
			return err
		}
		for _, file := range list {
			if strings.Trim(strings.TrimSuffix(file, ".conf"), "0123456789") != "" {
				continue // Proxmox names them by number
			}
			text, err := optional(ctx, m, path.Join(dir, file))
			if err != nil {
				return err
			}
			if len(f.Guests) < maxGuests {
				f.Guests = append(f.Guests, ParseGuest(strings.TrimSuffix(file, ".conf"), text))
			}
		}
	}
	return nil
}

// cluster refuses a node of Proxmox VE whose file system of the cluster is not
// mounted: its guests and storages cannot be seen, and are there all the same.
func cluster(ctx context.Context, m Machine, node string) error {
	_, err := m.Stat(ctx, node)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, trace := range []string{"/usr/bin/pveversion", "/var/lib/pve-cluster", "/etc/pve/nodes"} {
		switch _, err := m.Stat(ctx, trace); {
		case err == nil:
			return &failure.Error{Code: host.CodeFailed, Doing: "look for the host's guests",
				Said: "Proxmox VE is installed (" + trace + "), and there is no " + node + ": a recovery could erase guests that nobody sees",
				Hint: "systemctl status pve-cluster on the host; on a node that was renamed, /etc/pve/nodes has its old name"}
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}

// confs lists the names of a folder's .conf files; none when there is no folder.
func confs(ctx context.Context, m Machine, dir string) (out []string, err error) {
	list, err := m.List(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, info := range list {
		if strings.HasSuffix(info.Name(), ".conf") {
			out = append(out, info.Name())
		}
	}
	sort.Strings(out)
	return out, err
}

// etc reads the host's own settings of ReaR, to say what of them is not used.
func (f *Facts) etc(ctx context.Context, m Machine) error {
	list, err := confs(ctx, m, "/etc/rear")
	for _, file := range list {
		if file == "os.conf" {
			continue
		}
		if f.Etc[file], err = optional(ctx, m, path.Join("/etc/rear", file)); err != nil {
			return err
		}
	}
	return err
}

// Differences are the settings of /etc/rear that this image is not made with, one
// line each: "local.conf: OUTPUT=PXE".
func (f *Facts) Differences(conf string) (out []string) {
	ours := map[string]bool{}
	for line := range strings.Lines(conf) {
		ours[strings.TrimSpace(line)] = true
	}
	for _, file := range sortedKeys(f.Etc) {
		for line := range strings.Lines(f.Etc[file]) {
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") || ours[line] || ours[unquoted(line)] {
				continue
			}
			out = append(out, file+": "+shown(line))
		}
	}
	return out
}

// harmless are settings whose values hold no secret by their nature: words out of
// a short list. Of all others the name alone is reported; passwords stand in URLs,
// options and commands, too.
var harmless = []string{"OUTPUT", "BACKUP", "BACKUP_TYPE", "BACKUP_PROG", "ISO_DEFAULT", "ISO_RECOVER_MODE", "USE_SERIAL_CONSOLE",
	"USE_DHCLIENT", "MODULES", "ONLY_INCLUDE_VG", "EXCLUDE_VG",
	"AUTOEXCLUDE_MULTIPATH", "AUTOEXCLUDE_DISKS", "MIGRATION_MODE", "TIMESYNC", "FIRMWARE", "KERNEL_VERSION", "SSH_FILES",
	"USB_DEVICE_FILESYSTEM_LABEL", "BOOTLOADER", "USING_UEFI_BOOTLOADER"}

var (
	assignment = regexp.MustCompile(`^(?:export\s+|declare\s+(?:-\S+\s+)*)?([A-Za-z_][A-Za-z0-9_]*)(?:\[[^]]*\])?\+?=(.*)$`)
	plainValue = regexp.MustCompile(`^["']?[A-Za-z0-9_.-]{0,32}["']?$`)
)

// shown is a line of /etc/rear as it may be reported: the name of what it sets, with
// the value where that is one plain word of a harmless setting.
func shown(line string) string {
	m := assignment.FindStringSubmatch(line)
	switch {
	case m == nil:
		return "[a line that sets no variable, not shown]"
	case slices.Contains(harmless, m[1]) && plainValue.MatchString(m[2]):
		return m[1] + "=" + m[2]
	}
	return m[1] + "=[not shown]"
}

// unquoted makes NAME=value what Conf would have written.
func unquoted(line string) string {
	key, value, _ := strings.Cut(line, "=")
	return key + "=" + quote(strings.Trim(value, `"'`))
}

func sortedKeys(m map[string]string) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func write(ctx context.Context, m Machine, file string, mode fs.FileMode, content []byte) error {
	return m.Write(ctx, file, mode, bytes.NewReader(content))
}
