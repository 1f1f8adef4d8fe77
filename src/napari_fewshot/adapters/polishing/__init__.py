"""The embedded network and an adapter on its features, trained together on the templates."""
