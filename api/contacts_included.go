package api

import "context"

// includeContacts puts contacts to what is with them, by one query for all. of tells the contact of a view,
// and where to show it.
func includeContacts[T any](ctx context.Context, s *Server, organizationID string, views []T, of func(*T) (id string, to **ContactView)) error {
	if len(views) == 0 {
		return nil
	}
	ids := make([]string, len(views))
	for i := range views {
		ids[i], _ = of(&views[i])
	}
	contacts, err := s.DB.ContactsNamed(ctx, organizationID, ids)
	if err != nil {
		return err
	}
	for i := range views {
		id, to := of(&views[i])
		if c, ok := contacts[id]; ok {
			view := contactViewOf(c)
			*to = &view
		}
	}
	return nil
}
