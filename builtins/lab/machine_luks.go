package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// MediumPassphrase opens the containers of the lab's media.
const MediumPassphrase = "lab-medium-passphrase"

func digestOf(passphrase string) string {
	sum := sha256.Sum256([]byte(passphrase))
	return hex.EncodeToString(sum[:])
}

// cryptsetup makes, opens and closes containers. As the true one it takes a key from
// standard input to its end, and refuses one in a word.
func (c *call) cryptsetup() int {
	words, flags := c.args[1:2], map[string]bool{}
	for _, a := range c.args[2:] {
		if strings.HasPrefix(a, "-") {
			flags[a] = true
		} else {
			words = append(words, a)
		}
	}
	key := func() (string, bool) {
		raw, err := io.ReadAll(c.stdin)
		return string(raw), err == nil && len(raw) > 0 && flags["--key-file=-"]
	}
	switch words[0] {
	case "luksFormat":
		m := c.disk(words[len(words)-1])
		secret, ok := key()
		if m == nil || !ok || !flags["--batch-mode"] {
			return c.fail(1, "Device %s does not exist or access denied.", words[len(words)-1])
		}
		if m.Attached || m.Disk.Open != "" {
			return c.fail(5, "Device %s is in use. Cannot proceed with format operation.", m.Disk.Path)
		}
		return c.edit(m, func(m *Medium) {
			m.Disk.LUKS, m.Disk.Secret, m.Disk.Damaged = uuidOf("luks", m), digestOf(secret), false
			m.Device.FS, m.Device.UUID, m.Device.Label = "", "", ""
		})
	case "open":
		m := c.disk(words[1])
		secret, ok := key()
		switch {
		case m == nil || !ok:
			return c.fail(4, "Device %s does not exist or access denied.", words[1])
		case m.Disk.LUKS == "" || m.Disk.Damaged:
			return c.fail(1, "Device %s is not a valid LUKS device.", words[1])
		case m.Disk.Secret != digestOf(secret):
			return c.fail(2, "No key available with this passphrase.")
		case m.Disk.Open != "":
			return c.fail(5, "Device %s is in use.", words[1])
		}
		return c.edit(m, func(m *Medium) { m.Disk.Open = words[2] })
	case "close":
		for i := range c.list {
			if m := &c.list[i]; m.Disk.Open == words[1] && m.Disk.Plugged {
				if m.Attached {
					return c.fail(5, "Device %s is still in use.", words[1])
				}
				return c.edit(m, func(m *Medium) { m.Disk.Open = "" })
			}
		}
		return c.fail(4, "Device %s is not active.", words[1])
	}
	return c.fail(1, "Unknown action.")
}

// DamageHeader overwrites the head of a medium's container.
func (w *World) DamageHeader(name string) error {
	return w.editMedium(name, func(m *Medium) error { m.Disk.Damaged = true; return nil })
}

func (c *call) edit(m *Medium, edit func(*Medium)) int {
	if err := c.w.editMedium(m.Name, func(m *Medium) error { edit(m); return nil }); err != nil {
		return c.fail(1, "%v", err)
	}
	return 0
}

func uuidOf(what string, m *Medium) string {
	h := digestOf(what + m.Device.Serial)
	return fmt.Sprintf("%s-%s-4%s-8%s-%s", h[:8], h[8:12], h[13:16], h[17:20], h[20:32])
}

// wipefs forgets what lies on a disk.
func (c *call) wipefs() int {
	m := c.disk(c.args[len(c.args)-1])
	if m == nil {
		return c.fail(1, "error: %s: probing initialization failed: No such file or directory", c.args[len(c.args)-1])
	}
	if m.Attached || m.Disk.Open != "" {
		return c.fail(1, "error: %s: probing initialization failed: Device or resource busy", m.Disk.Path)
	}
	return c.edit(m, func(m *Medium) {
		m.Disk.LUKS, m.Disk.Secret, m.Device.FS, m.Device.UUID, m.Device.Label = "", "", "", "", ""
	})
}

// mkfs makes a file system in an open container.
func (c *call) mkfs() int {
	path, label := c.args[len(c.args)-1], ""
	for i, a := range c.args {
		if a == "-L" && i+1 < len(c.args) {
			label = c.args[i+1]
		}
	}
	for i := range c.list {
		if m := &c.list[i]; m.Disk.Open != "" && "/dev/mapper/"+m.Disk.Open == path {
			return c.edit(m, func(m *Medium) { m.Device.FS, m.Device.UUID, m.Device.Label = "ext4", uuidOf("ext4", m), label })
		}
	}
	return c.fail(1, "The file %s does not exist and no size was specified.", path)
}

// mount shows the file system of an open container at the medium's folder.
func (c *call) mount() int {
	dev, at := c.args[len(c.args)-2], c.args[len(c.args)-1]
	for i := range c.list {
		m := &c.list[i]
		if m.Disk.Open == "" || "/dev/mapper/"+m.Disk.Open != dev || m.Mount != at {
			continue
		}
		if m.Attached || m.Device.FS == "" {
			return c.fail(32, "%s: wrong fs type, bad option, bad superblock on %s, or already mounted.", at, dev)
		}
		if err := c.w.editMedium(m.Name, c.w.mountIt); err != nil {
			return c.fail(32, "%v", err)
		}
		return 0
	}
	return c.fail(32, "%s: special device %s does not exist.", at, dev)
}

// blkid prints the UUID of the file system in an open container.
func (c *call) blkid() int {
	for _, m := range c.list {
		if m.Disk.Open != "" && "/dev/mapper/"+m.Disk.Open == c.args[len(c.args)-1] && m.Device.UUID != "" {
			fmt.Fprintln(c.stdout, m.Device.UUID)
			return 0
		}
	}
	return 2
}
