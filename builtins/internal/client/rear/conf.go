package rear

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
)

// Stick is the medium of USB output.
type Stick struct {
	Serial string // of the disk
	UUID   string // of the file system that ReaR writes to
	Device string // that partition: "/dev/sdb3"
	Disk   string // "/dev/sdb"
}

// Marks of what runner wrote, in the configuration and in the menu.
const (
	Marker = "# Written by runner for one image. /etc/rear is not used."
	erases = "runner.erases="
)

// Folder is where the files of the image are made.
func (o Options) Folder() string { return path.Join(o.Dir, o.Artifact) }

// ConfDir is the configuration directory of the image.
func (o Options) ConfDir() string { return path.Join(o.Dir, o.Artifact+".conf") }

// ChainDir is where the archives of a chain lie.
func (o Options) ChainDir() string { return path.Join(o.Dir, "chain-"+o.Differential) }

// Conf is the text of local.conf.
func (p *Plan) Conf(o Options) string {
	c := &conf{}
	c.line(Marker)
	c.set("OUTPUT", strings.ToUpper(o.Output))
	c.set("BACKUP", "NETFS")
	p.urls(c, o)
	c.set("USER_INPUT_TIMEOUT", "1")
	c.set("PROGRESS_MODE", "plain")
	c.set("SSH_FILES", "avoid_sensitive_files")
	c.set("SSH_UNPROTECTED_PRIVATE_KEYS", "no")
	c.set("REAR_INITRD_COMPRESSION", "")
	if o.Kernel != "" {
		c.set("KERNEL_VERSION", o.Kernel)
		c.set("KERNEL_FILE", "/boot/vmlinuz-"+o.Kernel)
	}
	if o.Encrypted {
		c.set("BACKUP_PROG_CRYPT_ENABLED", "true")
		// ReaR appends what it takes for the key as an argument, where everybody on
		// the host can read it. So it is reported where the key is: keyPlace.
		c.set("BACKUP_PROG_CRYPT_OPTIONS", "/usr/bin/openssl enc -aes-256-cbc -pbkdf2 -salt -pass ")
		c.set("BACKUP_PROG_DECRYPT_OPTIONS", "/usr/bin/openssl enc -d -aes-256-cbc -pbkdf2 -pass ")
	}
	p.exclusions(c, o)
	p.start(c, o)
	for _, s := range o.Settings {
		c.line(s)
	}
	return c.String()
}

func (p *Plan) urls(c *conf, o Options) {
	if o.Output == "usb" {
		c.set("BACKUP_URL", "usb://"+o.Stick.Device)
		c.set("USB_DEVICE_FILESYSTEM_LABEL", "REAR-000")
		c.set("USB_SUFFIX", "runner-"+o.Artifact) // with it ReaR removes nothing of its own accord
		return
	}
	c.set("OUTPUT_URL", "null")
	c.set("ISO_DIR", o.Folder())
	c.set("ISO_DEFAULT", "boothd")
	switch {
	case o.Backup == "iso":
		c.set("BACKUP_URL", "iso:///backup")
	case o.Differential != "":
		c.set("BACKUP_URL", "file://"+o.ChainDir())
		c.set("BACKUP_TYPE", "differential")
		c.set("FULLBACKUP_OUTDATED_DAYS", "3650") // the policy decides, not the day
		c.set("NETFS_PREFIX", "archives")
	default:
		c.set("BACKUP_URL", "file://"+o.Folder())
		c.set("NETFS_PREFIX", "archives")
	}
}

// exclusions are what is left out, by every name that ReaR could meet it under.
func (p *Plan) exclusions(c *conf, o Options) {
	var groups, components, mounts []string
	archive := []string{"/tmp/*", "/dev/shm/*", "$VAR_DIR/output/*", path.Clean(o.Dir) + "/*"}
	for _, k := range p.Kept {
		switch {
		case !strings.HasPrefix(k.Name, "/dev/"):
			mounts = append(mounts, "fs:"+k.Name)
			archive = append(archive, k.Name+"/*")
		case strings.Count(k.Name, "/") == 2 && p.isGroup(k.Name):
			groups = append(groups, strings.TrimPrefix(k.Name, "/dev/"))
		default:
			components = append(components, k.Name)
		}
	}
	for _, s := range slices.Concat(p.Secrets, p.Skip, o.Exclude) {
		archive = append(archive, s, strings.TrimSuffix(s, "/*")+"/*")
	}
	c.add("EXCLUDE_VG", groups)
	c.add("EXCLUDE_COMPONENTS", components)
	c.add("EXCLUDE_RECREATE", mounts)
	c.add("EXCLUDE_BACKUP", mounts)
	c.list("BACKUP_PROG_EXCLUDE", archive)
	var rescue []string
	for _, s := range append(slices.Clone(p.Secrets), o.Dir) {
		rel := strings.TrimPrefix(path.Clean(s), "/")
		rescue = append(rescue, "/"+rel, "/"+rel+"/*", rel, rel+"/*")
	}
	c.add("COPY_AS_IS_EXCLUDE", rescue)
	c.set("AUTOEXCLUDE_DISKS", "y")
}

// isGroup tells a volume group from a disk: ReaR names both /dev/NAME.
func (p *Plan) isGroup(name string) bool {
	for _, g := range p.Groups {
		if g == name {
			return true
		}
	}
	return false
}

// start says how the rescue system starts, and what it asks before it erases.
func (p *Plan) start(c *conf, o Options) {
	cmdline := []string{}
	if o.Serial {
		c.set("USE_SERIAL_CONSOLE", "yes")
	} else {
		c.set("USE_SERIAL_CONSOLE", "no")
	}
	if len(p.Shared) > 0 {
		cmdline = append(cmdline, erases+strings.Join(p.SharedIDs, ","))
		// The menu's help line shows it. In the rescue system the same variable
		// would configure the network, so it is set while the image is made only.
		c.line("case \"$WORKFLOW\" in (mkbackup|mkrescue) IPADDR=" + quote("this host: RECOVERY ERASES GUESTS "+strings.Join(p.Shared, ", ")+
			". Built") + " ;; esac")
	}
	c.line("KERNEL_CMDLINE=\"$KERNEL_CMDLINE " + strings.Join(cmdline, " ") + "\"")
	if o.Unattended {
		c.set("ISO_DEFAULT", "automatic")
		c.set("ISO_RECOVER_MODE", "unattended")
	} else {
		c.set("ISO_RECOVER_MODE", "")
	}
	c.WriteString(p.guard(o))
	c.line("PRE_RECOVERY_COMMANDS+=( runner_before_recovery )")
}

// guard is the function that a recovery begins with: it asks for the host's name,
// or, where nobody is asked, wants the disks empty.
func (p *Plan) guard(o Options) string {
	var b strings.Builder
	b.WriteString("runner_before_recovery() {\n")
	if o.Unattended {
		b.WriteString("    local kind disk rest\n    while read -r kind disk rest; do\n        test \"$kind\" = disk || continue\n" +
			"        test -b \"$disk\" || Error \"there is no $disk here: nothing is recovered without being asked\"\n" +
			"        test \"$( dd if=\"$disk\" bs=1M count=4 2>/dev/null | tr -d '\\0' | wc -c )\" = 0 || Error \"$disk is not empty: nothing is " +
			"recovered onto it without being asked\"\n" +
			"    done < \"$VAR_DIR/layout/disklayout.conf\"\n}\n")
		return b.String()
	}
	fmt.Fprintf(&b, "    LogPrint %s\n", quote("This recovery erases "+strings.Join(p.Disks, ", ")+" of this machine, and makes them "+p.Host+
		"."))
	if len(p.Shared) > 0 {
		fmt.Fprintf(&b, "    LogPrint %s\n", quote("It erases these guests, too: "+strings.Join(p.Shared, ", ")+
			". They come back from their own copies: runner show "+strings.Join(p.SharedIDs, ", ")))
	}
	fmt.Fprintf(&b, "    local answer\n    read -r -p %s answer 0<&6 1>&7 2>&8\n    test \"$answer\" = %s || Error 'that is not its name: "+
		"nothing was changed'\n}\n",
		quote("Type the host's name ("+p.Host+") to go on: "), quote(p.Host))
	return b.String()
}

// Help is the text of the menu's help (F2).
func (p *Plan) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Rescue image of %s\n\nRecovery erases %s.\n", p.Host, strings.Join(p.Disks, ", "))
	if len(p.Shared) > 0 {
		fmt.Fprintf(&b, "It erases these guests: %s.\nThey come back from their own copies.\n", strings.Join(p.Shared, ", "))
	}
	for _, k := range p.Kept {
		fmt.Fprintf(&b, "It leaves alone: %s (%s).\n", k.Name, k.Why)
	}
	return b.String()
}

// conf writes assignments of bash.
type conf struct{ strings.Builder }

func (c *conf) line(text string) { c.WriteString(text + "\n") }

func (c *conf) set(name, value string) { c.line(name + "=" + quote(value)) }

func (c *conf) add(name string, values []string) { c.array(name+"+=", values) }

func (c *conf) list(name string, values []string) { c.array(name+"=", values) }

func (c *conf) array(head string, values []string) {
	if len(values) == 0 {
		return
	}
	sort.Strings(values)
	quoted := make([]string, len(values))
	for i, v := range values {
		if rest, ok := strings.CutPrefix(v, "$VAR_DIR"); ok {
			quoted[i] = `"$VAR_DIR"` + quote(rest)
			continue
		}
		quoted[i] = quote(v)
	}
	c.line(head + "( " + strings.Join(quoted, " ") + " )")
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
