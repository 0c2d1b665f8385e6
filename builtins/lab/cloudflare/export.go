package cloudflare

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	zonefmt "github.com/neosofia/runner/builtins/internal/format/zone"
)

// export prints the zone as BIND text.
func (s *Server) export(w http.ResponseWriter, q *request) error {
	id := q.vars["zone_id"]
	var zones, list []Object
	if err := s.state.read("zones.json", &zones); err != nil {
		return err
	}
	at := slices.IndexFunc(zones, func(o Object) bool { return o["id"] == id })
	if at < 0 {
		return &failure{status: 404, code: 7003, text: "Could not route to the zone"}
	}
	if err := s.state.read("zones/"+id+"/dns_records.json", &list); err != nil {
		return err
	}
	if _, ok := q.deed("empty"); ok {
		list = nil
	}
	if _, ok := q.deed("short"); ok && len(list) > 0 {
		list = list[:len(list)-1]
	}
	shown, _ := zones[at]["name"].(string)
	zone := zonefmt.Name(shown) // the zone's object may hold it as people write it
	servers, _ := zones[at]["name_servers"].([]any)
	var b strings.Builder
	fmt.Fprintf(&b, ";;\n;; Domain:     %s.\n;; Exported:   %s\n;;\n;; For information and archives: before another DNS server uses it, "+
		"edit\n;; its SOA and NS records.\n;;\n",
		zone, s.cfg.Now().UTC().Format("2006-01-02 15:04:05"))
	fmt.Fprintf(&b, ";; SOA Record\n%s\t3600\tIN\tSOA\t%v. dns.cloudflare.com. %v 10000 2400 604800 3600\n\n;; NS Records\n", zone,
		servers[0], serial)
	for _, n := range servers {
		fmt.Fprintf(&b, "%s.\t86400\tIN\tNS\t%v.\n", zone, n)
	}
	byType := map[string][]string{}
	for _, o := range list {
		typ := fmt.Sprint(o["type"])
		byType[typ] = append(byType[typ], line(o))
	}
	for _, typ := range sorted(byType) {
		if typ != "NS" {
			fmt.Fprintf(&b, "\n;; %s Records\n", typ)
		}
		b.WriteString(strings.Join(byType[typ], ""))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(b.String()))
	return nil
}

func sorted(m map[string][]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// line is one record with what the vendor keeps of it in a comment.
func line(o Object) string {
	data := fmt.Sprint(o["content"])
	switch o["type"] {
	case "CNAME", "NS", "PTR":
		data += "."
	case "MX":
		data = fmt.Sprintf("%v %s.", o["priority"], data)
	case "SRV":
		d, _ := o["data"].(Object)
		data = fmt.Sprintf("%v %v %v %v.", d["priority"], d["weight"], d["port"], d["target"])
	case "TXT":
		data = text(data)
	case "LOC":
		data = strings.TrimPrefix(data, "IN LOC ")
	}
	var tags []string
	if list, ok := o["tags"].([]any); ok {
		for _, t := range list {
			tags = append(tags, fmt.Sprint(t))
		}
	}
	if settings, ok := o["settings"].(Object); ok && settings["flatten_cname"] == true {
		tags = append(tags, "cf-flatten-cname")
	}
	if o["proxiable"] == true {
		tags = append(tags, fmt.Sprintf("cf-proxied:%v", o["proxied"]))
	}
	comment := ""
	if c, ok := o["comment"].(string); ok {
		comment = " " + c
	}
	if len(tags) > 0 {
		comment += " cf_tags=" + strings.Join(tags, ",")
	}
	if comment != "" {
		data += " ;" + comment
	}
	name := fmt.Sprint(o["name"])
	if strings.ContainsFunc(name, func(r rune) bool { return r > '~' }) { // the text has no other names
		name = zonefmt.Name(name)
	}
	return fmt.Sprintf("%s.\t%v\tIN\t%v\t%s\n", name, o["ttl"], o["type"], data)
}

// text prints a TXT in strings of at most 255 bytes; content that is quoted stays
// as it is.
func text(content string) string {
	if strings.HasPrefix(content, `"`) {
		return content
	}
	var parts []string
	for len(content) > 255 {
		parts, content = append(parts, content[:255]), content[255:]
	}
	parts = append(parts, content)
	for i, p := range parts {
		parts[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p) + `"`
	}
	return strings.Join(parts, " ")
}
