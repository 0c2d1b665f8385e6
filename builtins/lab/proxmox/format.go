package proxmox

import (
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"
)

var (
	vmidPattern    = regexp.MustCompile(`^[1-9][0-9]{2,8}$`)
	nodePattern    = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?$`)
	storagePattern = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]$`)
	dnsPattern     = regexp.MustCompile(`^([a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?)(\.[a-zA-Z0-9]([a-zA-Z0-9\-]*[a-zA-Z0-9])?)*$`)
	tagPattern     = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_\-+.]*$`)
	volumePattern  = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]):(.+)$`)
)

// namedProperties are formats that are property strings, and that the schema only names.
var namedProperties = map[string]string{"pve-sdn-dhcp-range": `{"start-address":{},"end-address":{}}`}

// contentTypes are what a storage can hold.
const contentTypes = " images rootdir vztmpl iso backup snippets none import "

// checkFormat checks the named formats that the served requests use, and the
// keys of property strings such as net0. Formats that only root's options use
// are let through.
func checkFormat(raw json.RawMessage, at, v string) string {
	if len(raw) == 0 {
		return ""
	}
	if raw[0] == '{' {
		return checkProperties(raw, at, v)
	}
	var name string
	if err := json.Unmarshal(raw, &name); err != nil {
		return ""
	}
	if decl, ok := namedProperties[name]; ok {
		return checkProperties(json.RawMessage(decl), at, v)
	}
	if base, ok := strings.CutSuffix(name, "-list"); ok && name != "email-or-username-list" {
		for _, one := range splitList(v) {
			if text := checkNamed(base, one); text != "" {
				return text
			}
		}
		return ""
	}
	return checkNamed(name, v)
}

func checkNamed(name, v string) string {
	bad := ""
	switch name {
	case "pve-vmid":
		if !vmidPattern.MatchString(v) {
			bad = fmt.Sprintf("value '%s' does not look like a valid VM ID", v)
		}
	case "pve-node":
		if !nodePattern.MatchString(v) {
			bad = fmt.Sprintf("value '%s' does not look like a valid node name", v)
		}
	case "pve-storage-id":
		if !storagePattern.MatchString(v) {
			bad = fmt.Sprintf("storage ID '%s' contains illegal characters", v)
		}
	case "pve-storage-content":
		if !strings.Contains(contentTypes, " "+v+" ") {
			bad = fmt.Sprintf("invalid content type '%s'", v)
		}
	case "dns-name":
		if !dnsPattern.MatchString(v) {
			bad = "value does not look like a valid DNS name"
		}
	case "pve-tag":
		if !tagPattern.MatchString(v) {
			bad = "invalid characters in tag"
		}
	case "pve-volume-id":
		if !volumePattern.MatchString(v) {
			bad = fmt.Sprintf("unable to parse volume ID '%s'", v)
		}
	case "prune-backups":
		if !strings.Contains(v, "=") {
			bad = "value without key, but schema does not define a default key"
			break
		}
		if _, err := parseKeep(v); err != nil {
			bad = err.Error()
		}
	}
	if bad == "" {
		return ""
	}
	return "invalid format - " + bad + "\n"
}

// checkProperties checks a property string, "virtio=BC:24:…,bridge=vmbr0".
func checkProperties(raw json.RawMessage, at, v string) string {
	var decl map[string]struct {
		Optional   json.Number `json:"optional"`
		DefaultKey json.Number `json:"default_key"`
		Alias      string      `json:"alias"`
		KeyAlias   string      `json:"keyAlias"`
		Enum       []string    `json:"enum"`
	}
	if err := json.Unmarshal(raw, &decl); err != nil {
		return ""
	}
	defaultKey := ""
	for key, d := range decl {
		if d.DefaultKey != "" && d.DefaultKey != "0" {
			defaultKey = key
		}
	}
	var errs []string
	seen := map[string]bool{}
	for _, part := range strings.Split(v, ",") {
		key, _, named := strings.Cut(part, "=")
		switch {
		case part == "":
		case !named && defaultKey != "":
			seen[defaultKey] = true
		case !named:
			return "invalid format - value without key, but schema does not define a default key\n"
		default:
			d, ok := decl[key]
			if !ok {
				errs = append(errs, at+"."+key+": property is not defined in schema and the schema does not allow additional properties")
			}
			seen[key] = true
			if d.Alias != "" {
				seen[d.Alias] = true
			}
			if d.KeyAlias != "" {
				seen[d.KeyAlias] = true
			}
		}
	}
	for key, d := range decl {
		if (d.Optional == "" || d.Optional == "0") && d.Alias == "" && !seen[key] {
			errs = append(errs, at+"."+key+": property is missing and it is not optional")
		}
	}
	if len(errs) == 0 {
		return ""
	}
	sort.Strings(errs)
	return "invalid format - format error\n" + strings.Join(errs, "\n") + "\n"
}

// splitList splits as PVE::Tools::split_list does.
func splitList(v string) []string {
	return strings.FieldsFunc(v, func(r rune) bool {
		return r == ',' || r == ';' || r == ' ' || r == '\t' || r == '\n' || r == 0
	})
}
