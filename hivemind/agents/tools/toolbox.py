"""tmp"""


class Toolbox:
    def for_profile(self, profile):
        return ()

    def find(self, profile, name):
        return None

    def policy(self, profile, name):
        return "deny"
