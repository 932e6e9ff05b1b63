package api

import (
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// resources names what the paths are about, by their first part behind /api. The documents group by it.
var resources = map[string]string{
	"organizations": "Organizations", "organization": "Organizations", "api-keys": "API keys", "contacts": "Contacts",
	"deals": "Deals", "dashboard": "Dashboard", "invoices": "Invoices", "jobs": "Jobs", "ai": "AI", "mail": "Mail", "unsubscribe": "Mail", "webhooks": "Webhooks",
	"admin": "Admin",
	"livez": "Health", "readyz": "Health", "health": "Health", "system": "Health",
	"": "Documents", "docs": "Documents", "openapi.json": "Documents", "asyncapi.json": "Documents",
}

func resourceOf(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, "/api"), "/"), "/")
	return resources[first]
}

// resourceTags lists the resources in the order of the routes.
func resourceTags(routes []route) (tags []*huma.Tag) {
	for _, rt := range routes {
		name := resourceOf(rt.path)
		if !slices.ContainsFunc(tags, func(t *huma.Tag) bool { return t.Name == name }) {
			tags = append(tags, &huma.Tag{Name: name})
		}
	}
	return tags
}
