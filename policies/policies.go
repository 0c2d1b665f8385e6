// Package policies holds the procedures that runner init writes for a new site. They name
// no address and no secret: those are in the site.
package policies

import "embed"

// Files holds the policies, their tests, and the example of a site.
//
//go:embed *.star
var Files embed.FS
